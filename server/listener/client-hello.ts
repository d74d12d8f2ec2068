import { type ClientHello, parseHelloBody } from './hello-body.ts'
import { type TlsAlert, tlsAlert } from './tls-alert.ts'

/** A hello may be spread over this many records: one of 1.8 KiB, as browsers send it, in single bytes. */
const MAX_RECORDS = 2_048
/** Longest ClientHello that is accepted, as in BoringSSL; a post-quantum one of a browser has about 1.8 KiB. */
const MAX_HELLO_BYTES = 16 * 1024
/** Longest plaintext of a record (RFC 8446 section 5.1). */
const MAX_RECORD_BYTES = 16 * 1024
const RECORD_HEADER_BYTES = 5
const HANDSHAKE_HEADER_BYTES = 4

const HANDSHAKE = 22
const CLIENT_HELLO = 1

/** Most bytes that the peek has to keep before it can say yes or no: records of single bytes included. */
export const MAX_PEEK_BYTES = 32 * 1024

/**
 * What the first bytes of a connection are. `need-more`: do not ask again before `atLeast` bytes are
 * there. `bad`: answer the alert, or none when the peer does not speak TLS at all, and close.
 */
export type Peeked =
  | { readonly kind: 'need-more'; readonly atLeast: number }
  | { readonly kind: 'hello'; readonly hello: ClientHello }
  /** The hello of SSL 2.0 that clients of the nineties begin with (RFC 5246 appendix E.2). */
  | { readonly kind: 'sslv2' }
  | { readonly kind: 'plain-http' }
  | { readonly kind: 'bad'; readonly alert: TlsAlert | null }

/**
 * Reads the ClientHello at the start of `bytes` (all that came so far). The handshake message is put
 * together across records (RFC 8446 section 5.1). Pure; never throws, never reads past the end.
 */
export function parseClientHello(bytes: Uint8Array): Peeked {
  const first = bytes[0]
  if (first === undefined) return { kind: 'need-more', atLeast: 1 }
  if (first !== HANDSHAKE) return notTls(bytes)
  const whole = wholeMessage(bytes)
  const joined = whole ?? joinRecords(bytes)
  if ('kind' in joined) return joined
  const hello = parseHelloBody(joined.bytes, joined.at + HANDSHAKE_HEADER_BYTES, joined.end)
  return typeof hello === 'number' ? bad(hello) : { kind: 'hello', hello }
}

/** Where a handshake message is, header included. */
type Message = { readonly bytes: Uint8Array; readonly at: number; readonly end: number }

/** The message where it lies, when it is whole and alone in the first record: what nearly every client sends. Or null. */
function wholeMessage(bytes: Uint8Array): Message | null {
  const [at, first] = [RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + HANDSHAKE_HEADER_BYTES]
  if (bytes.length < first || typeof recordHead(bytes, 0) !== 'number') return null
  const length = uint24(bytes, at + 1)
  const isWhole = length === uint16(bytes, 3) - HANDSHAKE_HEADER_BYTES && bytes.length >= first + length
  return isWhole && bytes[at] === CLIENT_HELLO && length > 0 && length <= MAX_HELLO_BYTES
    ? { bytes, at, end: first + length }
    : null
}

function bad(alert: TlsAlert | null): Peeked {
  return { kind: 'bad', alert }
}

/** Clear-text HTTP begins with a method in capitals; all else (scanners, other protocols) gets no answer. */
function notTls(bytes: Uint8Array): Peeked {
  if (((bytes[0] ?? 0) & 0x80) !== 0) return sslv2(bytes)
  for (let at = 0; at < 8; at += 1) {
    const byte = bytes[at]
    if (byte === undefined) return { kind: 'need-more', atLeast: at + 1 }
    if (byte === 0x20) return at >= 3 ? { kind: 'plain-http' } : bad(null)
    if (byte < 0x41 || byte > 0x5a) return bad(null)
  }
  return bad(null)
}

/** Two bytes of length with the highest bit set, the message type, and the version that is asked for. */
function sslv2([, , type, major]: Uint8Array): Peeked {
  if (type !== undefined && type !== CLIENT_HELLO) return bad(null)
  if (major === undefined) return { kind: 'need-more', atLeast: type === undefined ? 3 : 4 }
  return major === 3 ? { kind: 'sslv2' } : bad(null)
}

/** The whole handshake message, header included, or why there is none (yet). */
function joinRecords(bytes: Uint8Array): Peeked | Message {
  const parts: Uint8Array[] = []
  let total = 0
  let wanted = HANDSHAKE_HEADER_BYTES
  let at = 0
  for (let count = 0; count < MAX_RECORDS && at < MAX_PEEK_BYTES; count += 1) {
    const head = at < bytes.length ? recordHead(bytes, at) : nextRecord(at, wanted - total)
    if (typeof head !== 'number') return head
    const body = bytes.subarray(at + RECORD_HEADER_BYTES, at + RECORD_HEADER_BYTES + head)
    parts.push(body)
    total += body.length
    const length = wanted > HANDSHAKE_HEADER_BYTES ? wanted : messageLength(parts, total)
    if (typeof length !== 'number') return length
    wanted = length
    if (total >= wanted && wanted > HANDSHAKE_HEADER_BYTES) return { bytes: joined(parts), at: 0, end: wanted }
    at += RECORD_HEADER_BYTES + head
    if (body.length < head) return { kind: 'need-more', atLeast: Math.min(at, bytes.length + wanted - total) }
  }
  return bad(tlsAlert.decodeError)
}

/** What is missing comes behind at least one more head: so a hello in tiny records is looked at a few times only. */
function nextRecord(at: number, missing: number): Peeked {
  return { kind: 'need-more', atLeast: at + RECORD_HEADER_BYTES + Math.max(1, missing) }
}

/** The length of the record at `at`, or what its five bytes make of the connection. */
function recordHead(bytes: Uint8Array, at: number): Peeked | number {
  const type = bytes[at]
  const major = bytes[at + 1]
  if (type !== undefined && type !== HANDSHAKE) return bad(tlsAlert.unexpectedMessage)
  if (major !== undefined && major !== 3) return bad(tlsAlert.protocolVersion)
  if (bytes.length < at + RECORD_HEADER_BYTES) return { kind: 'need-more', atLeast: at + RECORD_HEADER_BYTES }
  const length = uint16(bytes, at + 3)
  if (length === 0) return bad(tlsAlert.unexpectedMessage)
  return length > MAX_RECORD_BYTES ? bad(tlsAlert.recordOverflow) : length
}

/** The length of the handshake message with its header; of the header alone while not even that is there. */
function messageLength(parts: readonly Uint8Array[], total: number): Peeked | number {
  if (total < HANDSHAKE_HEADER_BYTES) return HANDSHAKE_HEADER_BYTES
  const begun = joined(parts)
  if (begun[0] !== CLIENT_HELLO) return bad(tlsAlert.unexpectedMessage)
  const length = uint24(begun, 1)
  return length === 0 || length > MAX_HELLO_BYTES ? bad(tlsAlert.decodeError) : HANDSHAKE_HEADER_BYTES + length
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts)
}

/** Big-endian; what is not there counts as 0. */
function uint16(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) * 256 + (bytes[at + 1] ?? 0)
}

function uint24(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) * 65_536 + uint16(bytes, at + 1)
}
