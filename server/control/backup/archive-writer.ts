import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { constants, createZstdCompress } from 'node:zlib'
import { pack } from 'tar-stream'

/** Fast, and small enough: most of the content has been compressed before. */
const LEVEL = 3

/** A backup in the making. Entries one after the other; what stands in `out` is a backup after `finish` alone. */
export type ArchiveWriter = {
  /** Adds an entry whose content is at hand. */
  add(name: string, bytes: Uint8Array): Promise<void>
  /** Adds an entry of exactly `bytes` bytes. Throws when the stream has another length. */
  addStream(name: string, bytes: number, stream: Readable): Promise<void>
  /** Writes the end; resolves when `out` has all. */
  finish(): Promise<void>
  /** Gives up. */
  destroy(): Promise<void>
}

/** Starts an archive: tar, zstd with a checksum, `out`. Throws from each call what went wrong with `out`. */
export function writeArchive(out: Writable): ArchiveWriter {
  const tar = pack()
  const params = { [constants.ZSTD_c_compressionLevel]: LEVEL, [constants.ZSTD_c_checksumFlag]: 1 }
  const writing = pipeline(tar, createZstdCompress({ params }), out)
  writing.catch(() => undefined)
  const failure = writing.then(() => new Promise<never>(() => undefined))
  failure.catch(() => undefined)

  const addChunks = async (name: string, bytes: number, chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) => {
    const { promise: written, resolve, reject } = Promise.withResolvers<void>()
    written.catch(() => undefined)
    const entry = tar.entry({ name, size: bytes, mode: 0o600, mtime: new Date(0) }, (error) =>
      error ? reject(error) : resolve(),
    )
    for await (const chunk of chunks) {
      if (!entry.write(chunk)) await Promise.race([once(entry, 'drain'), failure, written])
    }
    ;(entry as unknown as Writable).end()
    await Promise.race([written, failure])
  }
  return {
    add: (name, bytes) => addChunks(name, bytes.length, [bytes]),
    addStream: (name, bytes, stream) => addChunks(name, bytes, stream as AsyncIterable<Buffer>),
    async finish() {
      tar.finalize()
      await writing
    },
    async destroy() {
      tar.destroy()
      await writing.catch(() => undefined)
    },
  }
}
