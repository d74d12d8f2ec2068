import { httpDate } from './http-date.ts'
import type { AnswerHead } from './splice-answer.ts'

/** The end of a body in chunks. */
export const LAST_CHUNK = Buffer.from('0\r\n\r\n')

/** Up to this size head and body leave as one piece: one TLS record, one system call. */
const MAX_COPIED_BYTES = 32 * 1024
const CRLF = '\r\n'

/**
 * An answer's head and the first piece of its body, as they go to the visitor: the status line as HTTP/1.1, its
 * framing said anew, `Date` where the upstream said none (RFC 9110 section 6.6.1).
 */
export function answerBytes(head: AnswerHead, bytes: Buffer, kept: readonly number[], keeps: boolean): Buffer[] {
  const extra = extraLines(head, keeps)
  const isUntilClose = head.framing === 'until-close'
  const bodyLength = isUntilClose ? 0 : lengthOf(kept)
  const isCopied = bodyLength <= MAX_COPIED_BYTES
  const headLength = lengthOf(head.kept) + extra.length
  const out = Buffer.allocUnsafe(headLength + (isCopied ? bodyLength : 0))
  let at = copyRanges(bytes, head.kept, out, 0)
  // HTTP/1.0 would mean more than the end of a connection to the visitor.
  out[7] = 0x31
  if (extra === CRLF) {
    out[at] = 13
    out[at + 1] = 10
    at += 2
  } else at += out.write(extra, at, 'latin1')
  if (isUntilClose) return [out, ...pieceBytes(bytes, kept, true)]
  if (!isCopied) return [out, ...pieceBytes(bytes, kept, false)]
  copyRanges(bytes, kept, out, at)
  return [out]
}

/** A piece of a body; `isChunk` puts it into a chunk. */
export function pieceBytes(bytes: Buffer, kept: readonly number[], isChunk: boolean): Buffer[] {
  const pieces: Buffer[] = []
  for (let at = 0; at + 1 < kept.length; at += 2) {
    const piece = bytes.subarray(kept[at], kept[at + 1])
    if (piece.length === 0) continue
    if (isChunk) pieces.push(Buffer.from(piece.length.toString(16) + CRLF, 'latin1'), piece, Buffer.from(CRLF))
    else pieces.push(piece)
  }
  return pieces
}

function extraLines(head: AnswerHead, keeps: boolean): string {
  const isChunked = head.framing === 'chunked' || head.framing === 'until-close'
  if (head.hasDate && keeps && !isChunked) return CRLF
  return `${head.hasDate ? '' : `Date: ${httpDate(Date.now())}${CRLF}`}${isChunked ? 'Transfer-Encoding: chunked\r\n' : ''}${keeps ? '' : 'Connection: close\r\n'}${CRLF}`
}

function lengthOf(ranges: readonly number[]): number {
  let length = 0
  for (let at = 0; at + 1 < ranges.length; at += 2) length += (ranges[at + 1] as number) - (ranges[at] as number)
  return length
}

function copyRanges(bytes: Buffer, ranges: readonly number[], out: Buffer, from: number): number {
  let at = from
  for (let one = 0; one + 1 < ranges.length; one += 2) at += bytes.copy(out, at, ranges[one], ranges[one + 1])
  return at
}
