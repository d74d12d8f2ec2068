import type { Connection } from './connection.ts'
import { timesPassed, upstreamFields } from './forwarded-fields.ts'
import { MAX_TIMES_PASSED } from './limits.ts'

/** A request that the byte path may take: GET or HEAD without a body, its head checked by the strict parser. */
export type SpliceRequest = {
  readonly method: 'GET' | 'HEAD'
  /** Origin-form, as sent. */
  readonly target: string
  /** Host, as sent. */
  readonly host: string
  /** All field lines, each with its CRLF, without the empty line: `bytes` from `fieldsFrom` to `fieldsEnd`. */
  readonly bytes: Buffer
  readonly fieldsFrom: number
  readonly fieldsEnd: number
  /** Whether the visitor, and the listener, would go on with the connection; asked when the answer begins. */
  readonly mayKeep: () => boolean
}

/** Longer blocks of fields are rewritten each time. */
const MAX_REMEMBERED_BYTES = 4 * 1024

/** Writes the fields of a request for its upstream, each with its CRLF; null when it is in a loop. */
export type FieldWriter = (request: SpliceRequest) => string | null

/**
 * The fields are those of `upstreamFields`. A client says the same fields with each request but for a few, so the
 * last block and what it became are remembered.
 */
export function createFieldWriter(connection: Connection): FieldWriter {
  let lastBlock: Buffer | null = null
  let lastLines: string | null = null
  return (request) => {
    const { bytes, fieldsFrom, fieldsEnd } = request
    const isSame = lastBlock !== null && bytes.compare(lastBlock, 0, lastBlock.length, fieldsFrom, fieldsEnd) === 0
    if (isSame) return lastLines
    lastLines = linesOf(request, connection)
    const isShort = fieldsEnd - fieldsFrom <= MAX_REMEMBERED_BYTES
    lastBlock = isShort ? Buffer.from(bytes.subarray(fieldsFrom, fieldsEnd)) : null
    return lastLines
  }
}

function linesOf(request: SpliceRequest, connection: Connection): string | null {
  const block = request.bytes.toString('latin1', request.fieldsFrom, request.fieldsEnd)
  const rawHeaders: string[] = []
  for (const line of block.split('\r\n')) {
    const colon = line.indexOf(':')
    if (colon > 0) rawHeaders.push(line.slice(0, colon), line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, ''))
  }
  if (timesPassed(rawHeaders) >= MAX_TIMES_PASSED) return null
  const fields = upstreamFields({ connection, rawHeaders }, request.host, 'none')
  let lines = ''
  for (let at = 0; at + 1 < fields.length; at += 2) lines += `${fields[at]}: ${fields[at + 1]}\r\n`
  return lines
}
