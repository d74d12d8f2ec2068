import type { AccessLogSetting } from '../../contract/access-log.ts'
import type { RequestEntry } from '../http/request-log.ts'

/** Longest part of each text that comes from a client, in characters. */
const limits = { host: 255, method: 32, target: 2_048, referer: 1_024, userAgent: 512 } as const

/** What JSON leaves as it is and a terminal or a line-based tool may obey: DEL, C1 controls, two line ends of Unicode. */
const UNPRINTABLE = /[\x7f-\x9f\u2028\u2029]/g
/** In a quoted text of the combined format: quotes, backslashes and all that is not printable ASCII. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: it is control characters that must not pass.
const UNQUOTABLE = /["\\\x00-\x1f\x7f-\uffff]/g

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/**
 * One line of an access log, without its end. Nothing that a client sends can end the line or a quoted text in
 * it. `atMs`: when the request was over, milliseconds since 1970.
 */
export function accessLine(format: AccessLogSetting['format'], entry: RequestEntry, atMs: number): string {
  return format === 'json' ? jsonLine(entry, atMs) : combinedLine(entry, atMs)
}

function jsonLine(entry: RequestEntry, atMs: number): string {
  const { connection } = entry
  const tls = connection.tls()
  const text = JSON.stringify({
    time: new Date(atMs).toISOString(),
    remoteAddress: connection.remoteAddress,
    serverName: connection.serverName,
    host: entry.host.slice(0, limits.host),
    method: entry.method.slice(0, limits.method),
    target: entry.target.slice(0, limits.target),
    protocol: entry.protocol,
    status: entry.status,
    bytes: entry.bytes,
    durationMs: Math.round(entry.durationMs),
    tls: tls?.version ?? null,
    cipher: tls?.cipher ?? null,
    resumed: tls?.isResumed ?? null,
    referer: entry.referer.slice(0, limits.referer),
    userAgent: entry.userAgent.slice(0, limits.userAgent),
    reason: entry.reason ?? null,
  })
  return text.replace(UNPRINTABLE, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** The combined format of Apache and nginx; what it does not know follows as `name="value"`. */
function combinedLine(entry: RequestEntry, atMs: number): string {
  const { connection } = entry
  const tls = connection.tls()
  const request = `${part(entry, 'method')} ${part(entry, 'target')} ${entry.protocol}`
  const head = `${connection.remoteAddress} - - [${clfTime(atMs)}] "${request}" ${entry.status} ${entry.bytes}`
  const more = [
    ['sni', connection.serverName ?? '-'],
    ['host', entry.host.slice(0, limits.host) || '-'],
    ['tls', tls?.version ?? '-'],
    ['cipher', tls?.cipher ?? '-'],
    ['resumed', tls === null ? '-' : tls.isResumed ? 'yes' : 'no'],
    ['ms', String(Math.round(entry.durationMs))],
    ['reason', entry.reason ?? '-'],
  ].map(([name, value]) => `${name}="${quotable(value ?? '-')}"`)
  return `${head} "${part(entry, 'referer')}" "${part(entry, 'userAgent')}" ${more.join(' ')}`
}

function part(entry: RequestEntry, name: 'method' | 'target' | 'referer' | 'userAgent'): string {
  return quotable(entry[name].slice(0, limits[name])) || '-'
}

function quotable(text: string): string {
  return text.replace(UNQUOTABLE, (one) => {
    const code = one.charCodeAt(0)
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`
  })
}

function clfTime(atMs: number): string {
  const at = new Date(atMs)
  const two = (value: number): string => String(value).padStart(2, '0')
  const day = `${two(at.getUTCDate())}/${months[at.getUTCMonth()]}/${at.getUTCFullYear()}`
  return `${day}:${two(at.getUTCHours())}:${two(at.getUTCMinutes())}:${two(at.getUTCSeconds())} +0000`
}
