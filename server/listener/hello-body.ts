import { type TlsAlert, tlsAlert } from './tls-alert.ts'

const SERVER_NAME = 0
const SUPPORTED_GROUPS = 10
const ALPN = 16
const SESSION_TICKET = 35
const PRE_SHARED_KEY = 41
const SUPPORTED_VERSIONS = 43
const read: ReadonlySet<number> = new Set([
  SERVER_NAME,
  SUPPORTED_GROUPS,
  ALPN,
  SESSION_TICKET,
  PRE_SHARED_KEY,
  SUPPORTED_VERSIONS,
])
/** A ticket begins with the name of the key that it was sealed with (RFC 5077 section 4). */
const TICKET_NAME_BYTES = 16
/** Of pre-shared keys the first few are looked at: browsers offer one or two. */
const MAX_TICKETS = 8

/** What the choice of a site and of its context needs of a ClientHello (RFC 8446 section 4.1.2). */
export type ClientHello = {
  /** `host_name` of server_name (RFC 6066 section 3) byte by byte, not normalised; null when there is none. */
  readonly serverName: string | null
  /** Protocols offered, in the client's order (RFC 7301). */
  readonly alpn: readonly string[]
  /** Of supported_versions, or else the one of the head. */
  readonly versions: readonly number[]
  /** Cipher suites offered, in the client's order; GREASE values (RFC 8701) are among them. */
  readonly suites: readonly number[]
  /** Of supported_groups (RFC 8446 section 4.2.7), in the client's order. */
  readonly groups: readonly number[]
  /**
   * Names of the keys of the tickets offered, hex: of the session ticket of TLS 1.2 (RFC 5077) and of each
   * pre-shared key of TLS 1.3 that is long enough to be a ticket.
   */
  readonly ticketNames: readonly string[]
}

/** A stretch of bytes that is read from the front. Reading past `end` gives -1 or null, never an exception. */
type Cursor = { readonly bytes: Uint8Array; at: number; readonly end: number }

/**
 * Reads the body of a ClientHello, which is `bytes` from `at`, behind the handshake header, to `end`, or says which
 * alert it deserves. What only the TLS library needs is left to it. Pure; never throws, never reads past the end.
 */
export function parseHelloBody(bytes: Uint8Array, at: number, end: number): ClientHello | TlsAlert {
  const cursor: Cursor = { bytes, at, end }
  const version = number(cursor, 2)
  cursor.at += 32
  const sessionId = vector(cursor, 1)
  const suites = vector(cursor, 2)
  const compression = vector(cursor, 1)
  if (version < 0 || sessionId === null || suites === null || compression === null) return tlsAlert.decodeError
  if (left(sessionId) > 32 || left(suites) < 2 || left(suites) % 2 !== 0) return tlsAlert.decodeError
  if (left(compression) < 1) return tlsAlert.decodeError
  const bare = { serverName: null, alpn: [], versions: [version], suites: numbers(suites), groups: [], ticketNames: [] }
  // A hello of TLS 1.2 and older may end here (RFC 5246 section 7.4.1.2).
  if (left(cursor) === 0) return bare
  const extensions = vector(cursor, 2)
  if (extensions === null || left(cursor) !== 0) return tlsAlert.decodeError
  return parseExtensions(extensions, bare)
}

function parseExtensions(cursor: Cursor, bare: ClientHello): ClientHello | TlsAlert {
  const found = new Map<number, Cursor>()
  while (left(cursor) > 0) {
    const type = number(cursor, 2)
    const body = vector(cursor, 2)
    if (body === null) return tlsAlert.decodeError
    if (!read.has(type)) continue
    if (found.has(type)) return tlsAlert.illegalParameter
    found.set(type, body)
  }
  const named = found.get(SERVER_NAME)
  const serverName = named === undefined ? null : parseServerName(named)
  if (named !== undefined && serverName === null) return tlsAlert.decodeError
  const versions = found.get(SUPPORTED_VERSIONS)
  return {
    serverName,
    alpn: parseAlpn(found.get(ALPN)),
    versions: versions === undefined ? bare.versions : numbers(vector(versions, 1)),
    suites: bare.suites,
    groups: numbers(vector(found.get(SUPPORTED_GROUPS), 2)),
    ticketNames: parseTicketNames(found.get(SESSION_TICKET), found.get(PRE_SHARED_KEY)),
  }
}

/** The one `host_name`, or null when the list has another form (RFC 6066 section 3). */
function parseServerName(cursor: Cursor): string | null {
  const list = vector(cursor, 2)
  if (list === null || left(cursor) !== 0) return null
  const type = number(list, 1)
  const name = vector(list, 2)
  if (type !== 0 || name === null || left(name) === 0 || left(list) !== 0) return null
  return text(name, 'latin1')
}

/** What can be read of the list; the TLS library refuses a broken one itself. */
function parseAlpn(cursor: Cursor | undefined): string[] {
  const names: string[] = []
  const list = vector(cursor, 2)
  while (list !== null && left(list) > 0) {
    const name = vector(list, 1)
    if (name === null) break
    names.push(text(name, 'latin1'))
  }
  return names
}

/** RFC 5077 section 3.2: the ticket itself; RFC 8446 section 4.2.11: identities with four bytes of age each. */
function parseTicketNames(ticket: Cursor | undefined, preShared: Cursor | undefined): string[] {
  const names: string[] = []
  const add = (identity: Cursor): void => {
    if (left(identity) <= TICKET_NAME_BYTES) return
    names.push(text({ ...identity, end: identity.at + TICKET_NAME_BYTES }, 'hex'))
  }
  if (ticket !== undefined) add(ticket)
  const list = vector(preShared, 2)
  while (list !== null && left(list) > 0 && names.length < MAX_TICKETS) {
    const identity = vector(list, 2)
    if (identity === null) break
    add(identity)
    list.at += 4
  }
  return names
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

/** The whole numbers of two bytes that are there. */
function numbers(list: Cursor | null): number[] {
  const found: number[] = []
  while (list !== null && left(list) >= 2) found.push(number(list, 2))
  return found
}

/** A vector with a length prefix of `size` bytes, or null when it is longer than what is there, or nothing is. */
function vector(cursor: Cursor | undefined, size: 1 | 2): Cursor | null {
  if (cursor === undefined) return null
  const length = number(cursor, size)
  if (length < 0 || left(cursor) < length) return null
  const start = cursor.at
  cursor.at += length
  return { bytes: cursor.bytes, at: start, end: start + length }
}

function text({ bytes, at, end }: Cursor, encoding: 'latin1' | 'hex'): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + at, end - at).toString(encoding)
}
