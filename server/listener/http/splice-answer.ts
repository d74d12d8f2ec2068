import { HOP_BY_HOP } from './forwarded-fields.ts'

/** How an answer's end is known: nothing follows, so many bytes, chunks, or until the connection ends. */
export type AnswerFraming = 'none' | 'chunked' | 'until-close' | number

/** The head of an answer, as the visitor gets it. */
export type AnswerHead = {
  readonly status: number
  /** Where it ends: the index behind its empty line. */
  readonly end: number
  readonly framing: AnswerFraming
  /** The upstream lets its connection be used again. */
  readonly keepsAlive: boolean
  readonly hasDate: boolean
  /** From, to, from, to: what is passed on, the status line first and the empty line not among it. */
  readonly kept: readonly number[]
}

/** More fields than this are no sane answer; their bytes are bounded by the caller. */
const MAX_FIELDS = 256
/** A length that a number holds exactly. */
const MAX_LENGTH_DIGITS = 15
const CR = 13
const LF = 10
const COLON = 58

/** RFC 9110 section 5.6.2 (token) and 5.5 (field-value, obs-text included). */
const TOKEN = table((code) => /[A-Za-z0-9!#$%&'*+.^_`|~-]/.test(String.fromCharCode(code)))
const VALUE = table((code) => code === 9 || (code >= 32 && code !== 127))
const VERSION = [...Buffer.from('HTTP/1.')]

/** The names that matter here, by their length: others are passed on unread. */
const NAMES: (readonly string[] | undefined)[] = []
for (const name of [...HOP_BY_HOP, 'content-length', 'date']) NAMES[name.length] = [...(NAMES[name.length] ?? []), name]

/**
 * Reads the head of an answer; `more` when it has not come as a whole. Strict: null for what RFC 9112 does not
 * allow and for what two readers may understand differently (two lengths, a length beside chunks, folded lines,
 * other codings, bare line ends). `isHead`: it answers a HEAD request.
 */
export function parseAnswer(bytes: Buffer, isHead: boolean): AnswerHead | 'more' | null {
  const first = scanFields(bytes, null)
  if (typeof first === 'number') return first > bytes.length ? 'more' : null
  // Fields that Connection names stay between us and the upstream: only after all were read they are known.
  const scan = first.named === null ? first : scanFields(bytes, first.named)
  return typeof scan === 'number' ? null : judge(bytes, scan, isHead)
}

/** What was seen of the fields. */
type Scan = {
  end: number
  readonly kept: number[]
  length: number
  isChunked: boolean
  hasDate: boolean
  isClosing: boolean
  isKeeping: boolean
  /** Fields besides the usual ones that Connection names, lower case. */
  named: Set<string> | null
}

/** A failure: behind the end of the bytes where they are right so far, `BAD` where they are not. */
const BAD = -1
const fault = (bytes: Buffer, at: number): number => (at >= bytes.length ? bytes.length + 1 : BAD)

/** Gives what it saw, or a failure. */
function scanFields(bytes: Buffer, dropped: ReadonlySet<string> | null): Scan | number {
  let at = statusLineEnd(bytes)
  if (at < 0 || at > bytes.length) return at
  const flags = { isChunked: false, hasDate: false, isClosing: false, isKeeping: false }
  const scan: Scan = { end: 0, kept: [0, at], length: -1, ...flags, named: null }
  for (let count = 0; count <= MAX_FIELDS; count += 1) {
    if (bytes[at] === CR) {
      if (bytes[at + 1] !== LF) return fault(bytes, at + 1)
      scan.end = at + 2
      return scan
    }
    at = scanField(bytes, at, scan, dropped)
    if (at < 0 || at > bytes.length) return at
  }
  return BAD
}

/** Checks the field at `from`; the index behind it, or a failure. */
function scanField(bytes: Buffer, from: number, scan: Scan, dropped: ReadonlySet<string> | null): number {
  let colon = from
  while (TOKEN[bytes[colon] as number] === 1) colon += 1
  if (colon === from || bytes[colon] !== COLON) return colon === from ? fault(bytes, from) : fault(bytes, colon)
  let end = colon + 1
  while (VALUE[bytes[end] as number] === 1) end += 1
  if (bytes[end] !== CR || bytes[end + 1] !== LF) return fault(bytes, bytes[end] === CR ? end + 1 : end)
  const next = end + 2
  const name = knownName(bytes, from, colon)
  const isPassed = name === '' || note(name, bytes, colon + 1, end, scan)
  if (isPassed === null) return BAD
  const isDropped = dropped?.has(bytes.toString('latin1', from, colon).toLowerCase())
  if (isPassed && !isDropped) keep(scan.kept, from, next)
  return next
}

/** One of `NAMES`, or empty. */
function knownName(bytes: Buffer, from: number, to: number): string {
  const names = NAMES[to - from]
  if (names !== undefined) for (const name of names) if (isWord(bytes, from, to, name)) return name
  return ''
}

/** Whether bytes are a lower-case word of letters and hyphens, in whatever case. */
function isWord(bytes: Buffer, from: number, to: number, word: string): boolean {
  if (to - from !== word.length) return false
  for (let at = 0; at < word.length; at += 1)
    if (((bytes[from + at] as number) | 0x20) !== word.charCodeAt(at)) return false
  return true
}

/** Takes note of a field; says whether it is passed on, null when it makes the answer unusable. */
function note(name: string, bytes: Buffer, valueFrom: number, valueEnd: number, scan: Scan): boolean | null {
  // Spaces and tabs only: `trim` would take characters off that a reader after us may not.
  let from = valueFrom
  let end = valueEnd
  while (from < end && isBlank(bytes[from])) from += 1
  while (end > from && isBlank(bytes[end - 1])) end -= 1
  if (name === 'date') {
    scan.hasDate = true
    return true
  }
  if (name === 'content-length') {
    if (scan.length >= 0) return null
    scan.length = digits(bytes, from, end)
    return scan.length < 0 ? null : true
  }
  if (name === 'transfer-encoding') {
    if (scan.isChunked || !isWord(bytes, from, end, 'chunked')) return null
    scan.isChunked = true
  } else if (name === 'connection') noteConnection(bytes, from, end, scan)
  return false
}

function noteConnection(bytes: Buffer, from: number, end: number, scan: Scan): void {
  if (isWord(bytes, from, end, 'keep-alive')) {
    scan.isKeeping = true
    return
  }
  for (const part of bytes.toString('latin1', from, end).split(',')) {
    const token = part.replace(/^[ \t]+|[ \t]+$/g, '').toLowerCase()
    if (token === 'close') scan.isClosing = true
    else if (token === 'keep-alive') scan.isKeeping = true
    // What the framing of this answer is made of, and its date, are for the visitor whatever is said of them.
    else if (token !== '' && token !== 'content-length' && token !== 'date') {
      scan.named ??= new Set()
      scan.named.add(token)
    }
  }
}

/** A number of digits alone; -1 for anything else. */
function digits(bytes: Buffer, from: number, end: number): number {
  if (end === from || end - from > MAX_LENGTH_DIGITS) return -1
  let value = 0
  for (let at = from; at < end; at += 1) {
    const digit = (bytes[at] as number) - 48
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
  }
  return value
}

function isBlank(byte: number | undefined): boolean {
  return byte === 32 || byte === 9
}

function keep(kept: number[], from: number, to: number): void {
  if (kept[kept.length - 1] === from) kept[kept.length - 1] = to
  else kept.push(from, to)
}

/** The index behind the status line, or a failure (RFC 9112 section 4). */
function statusLineEnd(bytes: Buffer): number {
  for (let at = 0; at < VERSION.length; at += 1) if (bytes[at] !== VERSION[at]) return fault(bytes, at)
  const minor = bytes[7]
  if (minor !== 0x30 && minor !== 0x31) return fault(bytes, 7)
  if (bytes[8] !== 32) return fault(bytes, 8)
  if (bytes.length > 11 && digits(bytes, 9, 12) < 100) return BAD
  let at = 12
  if (bytes[at] !== 32 && bytes[at] !== CR) return fault(bytes, at)
  while (VALUE[bytes[at] as number] === 1) at += 1
  if (bytes[at] !== CR || bytes[at + 1] !== LF) return fault(bytes, bytes[at] === CR ? at + 1 : at)
  return at + 2
}

function judge(bytes: Buffer, scan: Scan, isHead: boolean): AnswerHead | null {
  const isOld = bytes[7] === 0x30
  const status = digits(bytes, 9, 12)
  // RFC 9112 section 6.1: both together, or chunks in HTTP/1.0, is how requests are smuggled.
  if (scan.isChunked && (scan.length >= 0 || isOld)) return null
  const isBodiless = isHead || status < 200 || status === 204 || status === 304
  const length = scan.length < 0 ? 'until-close' : scan.length
  const framing = isBodiless ? 'none' : scan.isChunked ? 'chunked' : length
  const keepsAlive = !scan.isClosing && (!isOld || scan.isKeeping) && framing !== 'until-close'
  return { status, end: scan.end, framing, keepsAlive, hasDate: scan.hasDate, kept: scan.kept }
}

function table(has: (code: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, code) => (has(code) ? 1 : 0))
}
