import { type TlsAlert, tlsAlert } from './tls-alert.ts'

/** A hello may be spread over this many records; more is no honest client. */
const MAX_RECORDS = 64
/** Longest ClientHello that is accepted; a post-quantum one of a browser has about 1.8 KiB. */
const MAX_HELLO_BYTES = 32 * 1024
/** Longest plaintext of a record (RFC 8446 section 5.1). */
const MAX_RECORD_BYTES = 16 * 1024
const RECORD_HEADER_BYTES = 5
const HANDSHAKE_HEADER_BYTES = 4

const HANDSHAKE = 22
const CLIENT_HELLO = 1
const SERVER_NAME = 0
const ALPN = 16
const SUPPORTED_VERSIONS = 43

/** Most bytes that the peek has to keep before it can say yes or no. */
export const MAX_PEEK_BYTES = MAX_HELLO_BYTES + MAX_RECORDS * RECORD_HEADER_BYTES + MAX_RECORD_BYTES

/** What the choice of a site needs of a ClientHello (RFC 8446 section 4.1.2). */
export type ClientHello = {
  /** `host_name` of server_name (RFC 6066 section 3) byte by byte, not normalised; null when there is none. */
  readonly serverName: string | null
  /** Protocols offered, in the client's order (RFC 7301). */
  readonly alpn: readonly string[]
  /** Of supported_versions, or else the one of the head. */
  readonly versions: readonly number[]
}

/**
 * What the first bytes of a connection are. `need-more`: do not ask again before `atLeast` bytes are
 * there. `bad`: answer the alert, or none when the peer does not speak TLS at all, and close.
 */
export type Peeked =
  | { readonly kind: 'need-more'; readonly atLeast: number }
  | { readonly kind: 'hello'; readonly hello: ClientHello }
  | { readonly kind: 'plain-http' }
  | { readonly kind: 'bad'; readonly alert: TlsAlert | null }

/** A stretch of bytes that is read from the front. Reading past `end` gives -1 or null, never an exception. */
type Cursor = { readonly bytes: Uint8Array; at: number; readonly end: number }

/**
 * Reads the ClientHello at the start of `bytes` (all that came so far). The handshake message is put
 * together across records (RFC 8446 section 5.1). Pure; never throws, never reads past the end.
 */
export function parseClientHello(bytes: Uint8Array): Peeked {
  const first = bytes[0]
  if (first === undefined) return { kind: 'need-more', atLeast: 1 }
  if (first !== HANDSHAKE) return notTls(bytes)
  const joined = joinRecords(bytes)
  if ('kind' in joined) return joined
  const hello = parseBody({ bytes: joined.message, at: HANDSHAKE_HEADER_BYTES, end: joined.message.length })
  return typeof hello === 'number' ? bad(hello) : { kind: 'hello', hello }
}

function bad(alert: TlsAlert | null): Peeked {
  return { kind: 'bad', alert }
}

/** Clear-text HTTP begins with a method in capitals; all else (SSLv2, scanners) gets no answer. */
function notTls(bytes: Uint8Array): Peeked {
  for (let at = 0; at < 8; at += 1) {
    const byte = bytes[at]
    if (byte === undefined) return { kind: 'need-more', atLeast: at + 1 }
    if (byte === 0x20) return at >= 3 ? { kind: 'plain-http' } : bad(null)
    if (byte < 0x41 || byte > 0x5a) return bad(null)
  }
  return bad(null)
}

/** The whole handshake message, header included, or why there is none (yet). */
function joinRecords(bytes: Uint8Array): Peeked | { message: Uint8Array } {
  const parts: Uint8Array[] = []
  let total = 0
  let wanted = HANDSHAKE_HEADER_BYTES
  let at = 0
  for (let count = 0; count < MAX_RECORDS; count += 1) {
    const head = recordHead(bytes, at)
    if (typeof head !== 'number') return head
    const body = bytes.subarray(at + RECORD_HEADER_BYTES, at + RECORD_HEADER_BYTES + head)
    parts.push(body)
    total += body.length
    if (total >= HANDSHAKE_HEADER_BYTES && wanted === HANDSHAKE_HEADER_BYTES) {
      const length = messageLength(parts)
      if (typeof length !== 'number') return length
      wanted = length
    }
    if (total >= wanted && wanted > HANDSHAKE_HEADER_BYTES) return { message: joined(parts).subarray(0, wanted) }
    at += RECORD_HEADER_BYTES + head
    if (body.length < head) return { kind: 'need-more', atLeast: Math.min(at, bytes.length + wanted - total) }
  }
  return bad(tlsAlert.decodeError)
}

/** The length of the record at `at`, or what its five bytes make of the connection. */
function recordHead(bytes: Uint8Array, at: number): Peeked | number {
  const [type, major, , high, low] = bytes.subarray(at, at + RECORD_HEADER_BYTES)
  if (type !== undefined && type !== HANDSHAKE) return bad(tlsAlert.unexpectedMessage)
  if (major !== undefined && major !== 3) return bad(tlsAlert.protocolVersion)
  if (high === undefined || low === undefined) return { kind: 'need-more', atLeast: at + RECORD_HEADER_BYTES }
  const length = high * 256 + low
  if (length === 0) return bad(tlsAlert.unexpectedMessage)
  return length > MAX_RECORD_BYTES ? bad(tlsAlert.recordOverflow) : length
}

/** The length of the handshake message with its header. */
function messageLength(parts: readonly Uint8Array[]): Peeked | number {
  const [type = 0, a = 0, b = 0, c = 0] = parts.length === 1 && parts[0] !== undefined ? parts[0] : joined(parts)
  if (type !== CLIENT_HELLO) return bad(tlsAlert.unexpectedMessage)
  const length = a * 65_536 + b * 256 + c
  return length === 0 || length > MAX_HELLO_BYTES ? bad(tlsAlert.decodeError) : HANDSHAKE_HEADER_BYTES + length
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts)
}

function parseBody(cursor: Cursor): ClientHello | TlsAlert {
  const version = number(cursor, 2)
  cursor.at += 32
  const sessionId = vector(cursor, 1)
  const suites = vector(cursor, 2)
  const compression = vector(cursor, 1)
  if (version < 0 || sessionId === null || suites === null || compression === null) return tlsAlert.decodeError
  if (left(sessionId) > 32 || left(suites) < 2 || left(suites) % 2 !== 0) return tlsAlert.decodeError
  if (left(compression) < 1) return tlsAlert.decodeError
  // A hello of TLS 1.2 and older may end here (RFC 5246 section 7.4.1.2).
  if (left(cursor) === 0) return { serverName: null, alpn: [], versions: [version] }
  const extensions = vector(cursor, 2)
  if (extensions === null || left(cursor) !== 0) return tlsAlert.decodeError
  return parseExtensions(extensions, version)
}

function parseExtensions(cursor: Cursor, version: number): ClientHello | TlsAlert {
  const found = new Map<number, Cursor>()
  while (left(cursor) > 0) {
    const type = number(cursor, 2)
    const body = vector(cursor, 2)
    if (body === null) return tlsAlert.decodeError
    if (type !== SERVER_NAME && type !== ALPN && type !== SUPPORTED_VERSIONS) continue
    if (found.has(type)) return tlsAlert.illegalParameter
    found.set(type, body)
  }
  const named = found.get(SERVER_NAME)
  const serverName = named === undefined ? null : parseServerName(named)
  if (named !== undefined && serverName === null) return tlsAlert.decodeError
  const alpn = found.get(ALPN)
  const versions = found.get(SUPPORTED_VERSIONS)
  return {
    serverName,
    alpn: alpn === undefined ? [] : parseAlpn(alpn),
    versions: versions === undefined ? [version] : parseVersions(versions),
  }
}

/** The one `host_name`, or null when the list has another form (RFC 6066 section 3). */
function parseServerName(cursor: Cursor): string | null {
  const list = vector(cursor, 2)
  if (list === null || left(cursor) !== 0) return null
  const type = number(list, 1)
  const name = vector(list, 2)
  if (type !== 0 || name === null || left(name) === 0 || left(list) !== 0) return null
  return latin1(name)
}

/** What can be read of the list; the TLS library refuses a broken one itself. */
function parseAlpn(cursor: Cursor): string[] {
  const names: string[] = []
  const list = vector(cursor, 2)
  while (list !== null && left(list) > 0) {
    const name = vector(list, 1)
    if (name === null) break
    names.push(latin1(name))
  }
  return names
}

function parseVersions(cursor: Cursor): number[] {
  const versions: number[] = []
  const list = vector(cursor, 1)
  while (list !== null && left(list) >= 2) versions.push(number(list, 2))
  return versions
}

function left(cursor: Cursor): number {
  return cursor.end - cursor.at
}

/** A big-endian number of `size` bytes, or -1 at the end. */
function number(cursor: Cursor, size: 1 | 2): number {
  if (left(cursor) < size) return -1
  const high = cursor.bytes[cursor.at] ?? 0
  const low = cursor.bytes[cursor.at + 1] ?? 0
  cursor.at += size
  return size === 1 ? high : high * 256 + low
}

/** A vector with a length prefix of `size` bytes, or null when it is longer than what is there. */
function vector(cursor: Cursor, size: 1 | 2): Cursor | null {
  const length = number(cursor, size)
  if (length < 0 || left(cursor) < length) return null
  const start = cursor.at
  cursor.at += length
  return { bytes: cursor.bytes, at: start, end: start + length }
}

function latin1(cursor: Cursor): string {
  return Buffer.from(cursor.bytes.buffer, cursor.bytes.byteOffset + cursor.at, left(cursor)).toString('latin1')
}
