import { STATUS_CODES } from 'node:http'
import type { BlobRef } from '../../contract/manifest.ts'
import { type Fields, isSendable } from './exchange.ts'
import { httpDate } from './http-date.ts'

/** An answer as it goes over an HTTP/1.1 connection, made once and sent often. */
export type FastAnswer = {
  readonly status: number
  /** Of the body, for the log. */
  readonly bodyBytes: number
  /** The body that must follow `bytesAt` in pieces; null where that is the whole answer. */
  readonly pieces: BlobRef | null
  /** The answer with the present Date. Valid until the next call. */
  bytesAt(nowMs: number): Buffer
  /** The bytes of the last call wait in a connection's queue: they are not written to again. */
  lend(): void
  /** What it costs in memory. */
  readonly weightBytes: number
}

/** What a FastAnswer is made of. */
export type FastParts = {
  readonly status: number
  /** Without Date, Connection and Content-Length. */
  readonly fields: Fields
  /** Null: the answer has none, not even an empty one (304). */
  readonly contentLength: number | null
  readonly body: Uint8Array | null
  readonly pieces: BlobRef | null
  readonly closes: boolean
}

/** What an answer takes beside its bytes (measured, both runtimes). */
const ANSWER_BYTES = 1_500
/** `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7) always has this length. */
const DATE_BYTES = 29

/** Builds it; null when a field cannot be sent, so that the full path says so. */
export function createFastAnswer(parts: FastParts): FastAnswer | null {
  const { status, body, pieces } = parts
  if (!parts.fields.every(([name, value]) => isSendable(name, value))) return null
  const lead = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\ndate: `
  const rest = `\r\n${linesOf(parts)}\r\n`
  const headBytes = lead.length + DATE_BYTES + rest.length
  let bytes = Buffer.allocUnsafeSlow(headBytes + (body?.length ?? 0))
  bytes.write(lead, 0, 'latin1')
  bytes.write(rest, lead.length + DATE_BYTES, 'latin1')
  if (body !== null) bytes.set(body, headBytes)
  let second = 0
  let isLent = false
  return {
    status,
    bodyBytes: pieces?.bytes ?? body?.length ?? 0,
    pieces,
    weightBytes: bytes.length + ANSWER_BYTES,
    bytesAt(nowMs) {
      const now = Math.floor(nowMs / 1000)
      if (now === second) return bytes
      if (isLent) bytes = Buffer.from(bytes)
      isLent = false
      second = now
      bytes.write(httpDate(nowMs), lead.length, 'latin1')
      return bytes
    },
    lend() {
      isLent = true
    },
  }
}

function linesOf({ fields, contentLength, closes }: FastParts): string {
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`)
  if (contentLength !== null) lines.push(`content-length: ${contentLength}\r\n`)
  return `${lines.join('')}connection: ${closes ? 'close' : 'keep-alive'}\r\n`
}
