import { MAX_HEAD_BYTES, MAX_HEADER_FIELDS } from './limits.ts'

/**
 * Reads request heads that have one meaning only: GET or HEAD, origin form, HTTP/1.1, plain fields, no body. All
 * else is left to the runtime's own parser, byte for byte, so nothing here has to be lenient.
 */

/** The fields of a head that our fast paths act on; the others are harmless to them. */
export type HeadFields = {
  /** As sent, once. */
  readonly host: string
  /** False after `Connection: close`. */
  readonly keepsAlive: boolean
  readonly acceptEncoding: string | undefined
  readonly ifNoneMatch: string | undefined
  readonly ifModifiedSince: string | undefined
  readonly userAgent: string
  readonly referer: string
  /** Range, If-Range, If-Match or If-Unmodified-Since is there: whoever answers must read it. */
  readonly hasOtherConditions: boolean
}

/** One head. Offsets are into the bytes that were read. */
export type StrictHead = {
  readonly method: 'GET' | 'HEAD'
  /** Path and query, as sent. */
  readonly target: string
  /** The same object as for the head before, where the client said the same fields again. */
  readonly fields: HeadFields
  /** Field lines, each with its CRLF, without the empty line. */
  readonly fieldsFrom: number
  readonly fieldsEnd: number
  /** Behind the empty line: where the next request begins. */
  readonly end: number
}

/** Reads the heads of one connection, each in its turn. */
export type HeadReader = {
  /** The head at `from`, or null: incomplete, or for another parser. Never throws. */
  read(bytes: Buffer, from: number): StrictHead | null
}

const SPACE = 0x20
const COLON = 0x3a
const CR = 0x0d
const LF = 0x0a
const TAB = 0x09
const HASH = 0x23
const SLASH = 0x2f
const VERSION = Buffer.from(' HTTP/1.1\r\n')
/** Blocks up to this are remembered: browsers send about 600 bytes. */
const MAX_REMEMBERED_BYTES = 4 * 1024

/** Fields that give a request a body, another protocol or another hop: never ours. */
const FOREIGN = new Set([
  'content-length',
  'expect',
  'http2-settings',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])
const OTHER_CONDITIONS = new Set(['if-match', 'if-range', 'if-unmodified-since', 'range'])

/** Bytes that may stand in a field name: letters, digits, `-` and `_`. */
const IS_NAME = byteTable('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_')

/**
 * Makes the reader of one connection. A client repeats its fields with each request, so everything behind the
 * target is compared with that of the head before, and parsed only when it differs.
 */
export function createHeadReader(): HeadReader {
  let lastTail: Buffer | null = null
  let lastFields: HeadFields | null = null
  return {
    read(bytes, from) {
      const method = methodAt(bytes, from)
      if (method === null) return null
      const targetFrom = from + method.length + 1
      const space = targetEnd(bytes, targetFrom)
      if (space < 0) return null
      if (lastFields !== null && lastTail !== null && startsWith(bytes, space, lastTail))
        return headOf(bytes, method, targetFrom, space, lastFields, space + lastTail.length)
      if (!startsWith(bytes, space, VERSION)) return null
      const parsed = parseFields(bytes, space + VERSION.length, from)
      if (parsed === null) return null
      const isShort = parsed.end - space <= MAX_REMEMBERED_BYTES
      lastTail = isShort ? Buffer.from(bytes.subarray(space, parsed.end)) : null
      lastFields = parsed.fields
      return headOf(bytes, method, targetFrom, space, parsed.fields, parsed.end)
    },
  }
}

function headOf(
  bytes: Buffer,
  method: 'GET' | 'HEAD',
  targetFrom: number,
  space: number,
  fields: HeadFields,
  end: number,
): StrictHead {
  const target = bytes.toString('latin1', targetFrom, space)
  return { method, target, fields, fieldsFrom: space + VERSION.length, fieldsEnd: end - 2, end }
}

function methodAt(bytes: Buffer, at: number): 'GET' | 'HEAD' | null {
  // "GET " and "HEAD", the first four bytes.
  const word =
    ((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)
  if (word === 0x47455420) return 'GET'
  return word === 0x48454144 && bytes[at + 4] === SPACE ? 'HEAD' : null
}

/** Where the target ends: at a space, after `/` and visible ASCII without `#`. -1 for anything else. */
function targetEnd(bytes: Buffer, from: number): number {
  if (bytes[from] !== SLASH) return -1
  const most = Math.min(bytes.length, from + MAX_HEAD_BYTES)
  for (let at = from + 1; at < most; at += 1) {
    const byte = bytes[at] as number
    if (byte === SPACE) return at
    if (byte < 0x21 || byte > 0x7e || byte === HASH) return -1
  }
  return -1
}

function startsWith(bytes: Buffer, at: number, part: Buffer): boolean {
  return bytes.length - at >= part.length && bytes.compare(part, 0, part.length, at, at + part.length) === 0
}

type Draft = { -readonly [K in keyof HeadFields]: HeadFields[K] | undefined }

function emptyDraft(): Draft {
  return {
    host: undefined,
    keepsAlive: undefined,
    acceptEncoding: undefined,
    ifNoneMatch: undefined,
    ifModifiedSince: undefined,
    userAgent: undefined,
    referer: undefined,
    hasOtherConditions: false,
  }
}

function parseFields(bytes: Buffer, from: number, headFrom: number): { fields: HeadFields; end: number } | null {
  const draft = emptyDraft()
  let at = from
  for (let count = 0; count <= MAX_HEADER_FIELDS; count += 1) {
    if (bytes[at] === CR) {
      if (bytes[at + 1] !== LF || at + 2 - headFrom > MAX_HEAD_BYTES) return null
      const fields = finished(draft)
      return fields === null ? null : { fields, end: at + 2 }
    }
    at = parseField(draft, bytes, at)
    if (at < 0) return null
  }
  return null
}

/** Reads one field line and gives where the next begins, or -1. */
function parseField(draft: Draft, bytes: Buffer, at: number): number {
  const nameEnd = scanName(bytes, at)
  const valueEnd = nameEnd < 0 ? -1 : scanValue(bytes, nameEnd + 1)
  if (valueEnd < 0) return -1
  const name = bytes.toString('latin1', at, nameEnd).toLowerCase()
  return take(draft, name, bytes, nameEnd + 1, valueEnd) ? valueEnd + 2 : -1
}

/** The colon behind a name, or -1. */
function scanName(bytes: Buffer, from: number): number {
  let at = from
  while (at < bytes.length && IS_NAME[bytes[at] as number] === 1) at += 1
  return at > from && bytes[at] === COLON ? at : -1
}

/** The CR of the CRLF behind a value of visible ASCII, spaces and tabs, or -1. */
function scanValue(bytes: Buffer, from: number): number {
  for (let at = from; at < bytes.length; at += 1) {
    const byte = bytes[at] as number
    if (byte === CR) return bytes[at + 1] === LF ? at : -1
    if ((byte < SPACE && byte !== TAB) || byte > 0x7e) return -1
  }
  return -1
}

/** Notes a field. False: a head with it is not ours. */
function take(draft: Draft, name: string, bytes: Buffer, from: number, end: number): boolean {
  switch (name) {
    case 'host':
      return once(draft, 'host', textOf(bytes, from, end))
    case 'accept-encoding':
      return once(draft, 'acceptEncoding', textOf(bytes, from, end))
    case 'if-none-match':
      return once(draft, 'ifNoneMatch', textOf(bytes, from, end))
    case 'if-modified-since':
      return once(draft, 'ifModifiedSince', textOf(bytes, from, end))
    case 'user-agent':
      draft.userAgent ??= textOf(bytes, from, end)
      return true
    case 'referer':
      draft.referer ??= textOf(bytes, from, end)
      return true
    case 'connection': {
      const value = textOf(bytes, from, end).toLowerCase()
      if (draft.keepsAlive !== undefined || (value !== 'keep-alive' && value !== 'close')) return false
      draft.keepsAlive = value === 'keep-alive'
      return true
    }
    default:
      if (OTHER_CONDITIONS.has(name)) draft.hasOtherConditions = true
      return !FOREIGN.has(name)
  }
}

function once(
  draft: Draft,
  key: 'host' | 'acceptEncoding' | 'ifNoneMatch' | 'ifModifiedSince',
  value: string,
): boolean {
  if (draft[key] !== undefined) return false
  draft[key] = value
  return true
}

function textOf(bytes: Buffer, from: number, end: number): string {
  let first = from
  let last = end
  while (first < last && isBlank(bytes[first])) first += 1
  while (last > first && isBlank(bytes[last - 1])) last -= 1
  return bytes.toString('latin1', first, last)
}

function isBlank(byte: number | undefined): boolean {
  return byte === SPACE || byte === TAB
}

function finished(draft: Draft): HeadFields | null {
  const { host } = draft
  if (host === undefined || host === '') return null
  return {
    host,
    keepsAlive: draft.keepsAlive ?? true,
    acceptEncoding: draft.acceptEncoding,
    ifNoneMatch: draft.ifNoneMatch,
    ifModifiedSince: draft.ifModifiedSince,
    userAgent: draft.userAgent ?? '',
    referer: draft.referer ?? '',
    hasOtherConditions: draft.hasOtherConditions ?? false,
  }
}

function byteTable(characters: string): Uint8Array {
  const table = new Uint8Array(256)
  for (const character of characters) table[character.charCodeAt(0)] = 1
  return table
}
