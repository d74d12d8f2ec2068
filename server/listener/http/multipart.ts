import { randomBytes } from 'node:crypto'
import type { ByteRange } from './range.ts'

/** An answer of several ranges: what stands before each, and what ends it (RFC 9110 section 14.6). */
export type Multipart = {
  readonly contentType: string
  /** One for each range, in their order. */
  readonly heads: readonly Buffer[]
  readonly tail: Buffer
  /** Of the whole body. */
  readonly length: number
}

/** Lays out a `multipart/byteranges` body for ranges of a representation of `bytes` bytes and this type. */
export function multipartOf(ranges: readonly ByteRange[], bytes: number, type: string): Multipart {
  const boundary = randomBytes(18).toString('base64url')
  const heads = ranges.map(({ first, last }) =>
    Buffer.from(`\r\n--${boundary}\r\ncontent-type: ${type}\r\ncontent-range: bytes ${first}-${last}/${bytes}\r\n\r\n`),
  )
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`)
  const content = ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0)
  const length = content + tail.length + heads.reduce((sum, head) => sum + head.length, 0)
  return { contentType: `multipart/byteranges; boundary=${boundary}`, heads, tail, length }
}
