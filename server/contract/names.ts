import { isIP } from 'node:net'
import { domainToASCII, domainToUnicode } from 'node:url'

/** Longest name in presentation form without the trailing dot (RFC 1035 section 2.3.4). */
const MAX_NAME_LENGTH = 253
/** Of ASCII only what a name may hold: a URL parser would read `/`, `?`, `#`, `%41` or a tab as something else. */
const WRITTEN = /^(?:[a-z0-9.-]|[^\p{ASCII}])+$/iu
/** A label begins and ends with a letter or a digit (RFC 1123 section 2.1). */
const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?'
const LABELS = new RegExp(`^${LABEL}(?:\\.${LABEL})*$`)

/** Why a text is not a host name that can be served. */
export type NameProblem = 'empty' | 'too-long' | 'label' | 'address' | 'single-label' | 'wildcard'

/** A name as it is stored and compared: ASCII (A-labels), lower case, no trailing dot. */
export type NameResult = { ok: true; name: string } | { ok: false; problem: NameProblem }

/**
 * Brings what a person or a client wrote to the one form in which names are stored and compared.
 * Accepts Unicode and A-labels, any case, one trailing dot, and `*.` as the leftmost label when
 * `wildcard` is allowed. Never throws. Underscores are refused: they are no host names (RFC 952).
 */
export function normalizeName(text: string, options: { wildcard?: boolean } = {}): NameResult {
  if (text.length > MAX_NAME_LENGTH * 4) return { ok: false, problem: 'too-long' }
  let rest = text.trim()
  if (rest.endsWith('.')) rest = rest.slice(0, -1)
  if (rest === '') return { ok: false, problem: 'empty' }
  const isWildcard = rest.startsWith('*.')
  if (isWildcard && !options.wildcard) return { ok: false, problem: 'wildcard' }
  if (isWildcard) rest = rest.slice(2)
  if (rest.includes('*')) return { ok: false, problem: 'wildcard' }
  if (isAddressLiteral(rest)) return { ok: false, problem: 'address' }
  const ascii = toAscii(rest)
  if (ascii === null) return { ok: false, problem: longLabel(rest) ? 'too-long' : 'label' }
  if (isAddressLiteral(ascii)) return { ok: false, problem: 'address' }
  const name = isWildcard ? `*.${ascii}` : ascii
  if (name.length > MAX_NAME_LENGTH) return { ok: false, problem: 'too-long' }
  if (!ascii.includes('.')) return { ok: false, problem: 'single-label' }
  return { ok: true, name }
}

/** The Unicode form for people's eyes; the stored form stays ASCII. */
export function unicodeName(name: string): string {
  return name.startsWith('*.') ? `*.${domainToUnicode(name.slice(2))}` : domainToUnicode(name)
}

/** The wildcard that would cover `name`, one label up (RFC 6125 section 6.4.3), or null. */
export function wildcardOf(name: string): string | null {
  const dot = name.indexOf('.')
  return dot <= 0 || dot === name.length - 1 ? null : `*${name.slice(dot)}`
}

/** Whether a certificate or hostname `pattern` covers the exact host `name` (both normalised). */
export function covers(pattern: string, name: string): boolean {
  return pattern === name || (pattern.startsWith('*.') && wildcardOf(name) === pattern)
}

/** Whether `name` is `root` or lies below it (both normalised, wildcards stripped by the caller). */
export function isAtOrBelow(name: string, root: string): boolean {
  return name === root || name.endsWith(`.${root}`)
}

/** Whether a text is an IPv4 or IPv6 address, brackets allowed: such a server name counts as none. */
export function isAddressLiteral(text: string): boolean {
  const bare = text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : text
  return bare.includes(':') ? isIP(bare) !== 0 : /^[0-9.]+$/.test(bare)
}

/** A host header's name without port and brackets, lower case, or null when it has no valid form. */
export function hostOf(header: string): string | null {
  if (header.length > MAX_NAME_LENGTH + 8) return null
  const match = /^(\[[0-9a-f:.]+\]|[^:[\]]+)(?::(\d{1,5}))?$/i.exec(header)
  const host = match?.[1]
  if (host === undefined) return null
  const bare = host.startsWith('[') ? host.slice(1, -1) : host
  if (isAddressLiteral(bare)) return bare.toLowerCase()
  const lower = bare.toLowerCase()
  const name = lower.endsWith('.') ? lower.slice(0, -1) : lower
  return isPlainName(name) ? name : null
}

/** Whether `name` is in stored form already (no IDN mapping is tried): cheap, for the request path. */
export function isPlainName(name: string): boolean {
  return name.length <= MAX_NAME_LENGTH && LABELS.test(name)
}

function toAscii(text: string): string | null {
  if (!WRITTEN.test(text)) return null
  const ascii = domainToASCII(text)
  return ascii !== '' && isPlainName(ascii) ? ascii : null
}

function longLabel(text: string): boolean {
  return text.length > MAX_NAME_LENGTH || text.split('.').some((label) => label.length > 63)
}
