import { buffer } from 'node:stream/consumers'
import { crc32, createGzip, deflateRawSync } from 'node:zlib'
import { type Header, pack } from 'tar-stream'

/** One entry of a .zip as a test wants it, honest or not. */
export type ZipEntry = {
  readonly name: string | Buffer
  readonly content?: string | Buffer
  /** 0 stored, 8 deflated (default); any other is only claimed. */
  readonly method?: number
  /** General purpose bits; UTF-8 names unless said otherwise. */
  readonly flags?: number
  /** Unix mode with its type bits (stat.h). */
  readonly mode?: number
  /** What the directory claims instead of the truth. */
  readonly crc?: number
  readonly size?: number
}

const UTF8 = 0x800
const UNIX = 3 << 8

/** Writes a .zip by hand (APPNOTE.TXT 4.3), so that it may hold what no tool writes. */
export function zipOf(entries: readonly ZipEntry[]): Buffer {
  const bodies: Buffer[] = []
  const directory: Buffer[] = []
  let offset = 0
  for (const entry of entries) {
    const name = Buffer.from(entry.name)
    const content = Buffer.from(entry.content ?? '')
    const method = entry.method ?? 8
    const packed = method === 8 ? deflateRawSync(content) : content
    const fields = Buffer.alloc(26)
    fields.writeUInt16LE(20, 0)
    fields.writeUInt16LE(entry.flags ?? UTF8, 2)
    fields.writeUInt16LE(method, 4)
    fields.writeUInt32LE(entry.crc ?? crc32(content), 10)
    fields.writeUInt32LE(packed.length, 14)
    fields.writeUInt32LE(entry.size ?? content.length, 18)
    fields.writeUInt16LE(name.length, 22)
    const tail = Buffer.alloc(14)
    tail.writeUInt32LE(((entry.mode ?? 0o100644) << 16) >>> 0, 6)
    tail.writeUInt32LE(offset, 10)
    const local = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), fields, name, packed])
    bodies.push(local)
    directory.push(Buffer.concat([Buffer.from('PK\x01\x02', 'latin1'), uint16(UNIX), fields, tail, name]))
    offset += local.length
  }
  const central = Buffer.concat(directory)
  const end = Buffer.alloc(18)
  end.writeUInt16LE(entries.length, 4)
  end.writeUInt16LE(entries.length, 6)
  end.writeUInt32LE(central.length, 8)
  end.writeUInt32LE(offset, 12)
  return Buffer.concat([...bodies, central, Buffer.from('PK\x05\x06', 'latin1'), end])
}

/** One entry of a .tar. */
export type TarEntry = Partial<Header> & { readonly name: string; readonly content?: string | Buffer }

/** Writes a .tar.gz. */
export function tarGzOf(entries: readonly TarEntry[]): Promise<Buffer> {
  const archive = pack()
  for (const { content, ...header } of entries) archive.entry(header, content ?? '')
  archive.finalize()
  return buffer(archive.pipe(createGzip()))
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16LE(value)
  return bytes
}
