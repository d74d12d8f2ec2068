import type { FileHandle } from 'node:fs/promises'
import type { BlobRef } from '../../contract/manifest.ts'
import type { Content } from './content.ts'
import { downloadPlaces } from './download-places.ts'
import { type Exchange, type Fields, send } from './exchange.ts'
import { FILE_PIECE_BYTES, MAX_CACHED_FILE_BYTES } from './limits.ts'
import { multipartOf } from './multipart.ts'
import type { ByteRange } from './range.ts'
import type { Representation } from './representation.ts'

/** Sends blobs, whole or in parts: small ones from memory, large ones in pieces. Each throws `ContentError`. */

/** Sends all of it; to HEAD its head only. */
export async function sendWhole(
  exchange: Exchange,
  content: Content,
  status: 200 | 404,
  { ref, fields }: Representation,
): Promise<void> {
  return sendRange(exchange, content, status, fields, ref, { first: 0, last: ref.bytes - 1 })
}

/** Sends one range (206). */
export async function sendPart(
  exchange: Exchange,
  content: Content,
  { ref, fields }: Representation,
  range: ByteRange,
): Promise<void> {
  const contentRange = `bytes ${range.first}-${range.last}/${ref.bytes}`
  return sendRange(exchange, content, 206, [...fields, ['content-range', contentRange]], ref, range)
}

/** Sends several ranges as `multipart/byteranges`. */
export async function sendParts(
  exchange: Exchange,
  content: Content,
  { ref, fields }: Representation,
  ranges: readonly ByteRange[],
): Promise<void> {
  const type = fields.find(([name]) => name === 'content-type')?.[1] ?? 'application/octet-stream'
  const layout = multipartOf(ranges, ref.bytes, type)
  const others = fields.filter(([name]) => name !== 'content-type')
  await withFile(exchange, content, ref, async (file) => {
    const length = String(layout.length)
    exchange.respond(206, [...others, ['content-type', layout.contentType], ['content-length', length]])
    for (const [at, range] of ranges.entries()) {
      if (!(await exchange.write(layout.heads[at] as Buffer))) return
      if (!(await sendPieces(exchange, file, range))) return
    }
    exchange.end(layout.tail)
  })
}

async function sendRange(
  exchange: Exchange,
  content: Content,
  status: number,
  fields: Fields,
  ref: BlobRef,
  range: ByteRange,
): Promise<void> {
  const length: Fields[number] = ['content-length', String(range.last - range.first + 1)]
  if (exchange.method === 'HEAD') {
    exchange.respond(status, [...fields, length])
    return exchange.end()
  }
  if (ref.bytes <= MAX_CACHED_FILE_BYTES) {
    const bytes = await content.bytes(ref)
    return send(exchange, status, fields, bytes.subarray(range.first, range.last + 1))
  }
  await withFile(exchange, content, ref, async (file) => {
    exchange.respond(status, [...fields, length])
    if (await sendPieces(exchange, file, range)) exchange.end()
  })
}

/** Opens a file once its connection has a place for it. Does nothing when the client has left by then. */
async function withFile(
  exchange: Exchange,
  content: Content,
  ref: BlobRef,
  use: (file: FileHandle) => Promise<void>,
): Promise<void> {
  const places = downloadPlaces(exchange.connection)
  if (!(await places.take(exchange))) return
  try {
    const file = await content.open(ref)
    try {
      await use(file)
    } finally {
      await file.close()
    }
  } finally {
    places.give()
  }
}

/** Two buffers in turn: one is filled while the other leaves. False: the client is gone, or the file ended early. */
async function sendPieces(exchange: Exchange, file: FileHandle, range: ByteRange): Promise<boolean> {
  const { moved } = downloadPlaces(exchange.connection)
  const buffers: Buffer[] = []
  let isSent = Promise.resolve(true)
  for (let at = range.first, turn = 0; at <= range.last; turn += 1) {
    const buffer = buffers[turn % 2] ?? Buffer.allocUnsafe(Math.min(FILE_PIECE_BYTES, range.last - range.first + 1))
    buffers[turn % 2] = buffer
    const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, range.last + 1 - at), at)
    if (!(await isSent)) return false
    if (bytesRead === 0) {
      exchange.abort()
      return false
    }
    isSent = exchange.write(buffer.subarray(0, bytesRead)).then((hasLeft) => {
      if (hasLeft) moved()
      return hasLeft
    })
    at += bytesRead
  }
  return isSent
}
