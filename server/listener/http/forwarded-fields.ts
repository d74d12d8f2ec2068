import type { Connection } from './connection.ts'
import type { Fields, Sent } from './exchange.ts'

/** Fields between two neighbours only (RFC 9110 section 7.6.1), besides those that Connection names. */
export const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'expect',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])
/** What only we may say to an upstream, in the one spelling that gateways fold to. */
const OURS = /^(?:forwarded|x-real-ip|x-nameplate-hop|x-forwarded(?:-.*)?)$/
/** Written anew from what was checked. */
const REWRITTEN = new Set(['host', 'content-length', 'cookie', 'cdn-loop'])
/** Our name in `CDN-Loop` (RFC 8586). */
const LOOP_NAME = 'nameplate'

/** How the body of a request is framed towards the upstream. */
export type Framing = { readonly length: number } | 'chunked' | 'none'

/**
 * The fields of a request as its upstream gets them, name, value, name, value. Host stays as the
 * visitor sent it (`authority`); whoever claims to have been forwarded already is not believed.
 */
export function upstreamFields(
  sent: Pick<Sent, 'connection' | 'rawHeaders'>,
  authority: string,
  framing: Framing,
): string[] {
  const named = connectionTokens(sent.rawHeaders)
  const fields = ['Host', authority]
  const cookies: string[] = []
  for (let at = 0; at + 1 < sent.rawHeaders.length; at += 2) {
    const name = sent.rawHeaders[at] ?? ''
    const value = sent.rawHeaders[at + 1] ?? ''
    const lower = name.toLowerCase()
    // HTTP/2 clients may split cookies (RFC 9113 section 8.2.3).
    if (lower === 'cookie') cookies.push(value)
    const isDropped = HOP_BY_HOP.has(lower) || REWRITTEN.has(lower) || named.has(lower)
    if (!isDropped && !OURS.test(lower.replaceAll('_', '-'))) fields.push(name, value)
  }
  if (cookies.length > 0) fields.push('Cookie', cookies.join('; '))
  if (framing === 'chunked') fields.push('Transfer-Encoding', 'chunked')
  else if (framing !== 'none') fields.push('Content-Length', String(framing.length))
  return [...fields, ...loopField(loopValues(sent.rawHeaders)), ...forwardedBy(sent.connection, authority)]
}

/** How often a request has passed an edge of ours, as `CDN-Loop` says; whoever claims too much only harms himself. */
export function timesPassed(rawHeaders: readonly string[]): number {
  const names = loopValues(rawHeaders).flatMap((value) => value.split(','))
  return names.filter((name) => name.split(';')[0]?.trim().toLowerCase() === LOOP_NAME).length
}

/** The field that says so to the next one, after what the ones before said (RFC 8586 section 2 forbids to drop it). */
export function loopField(before: readonly string[]): [name: string, value: string] {
  return ['CDN-Loop', [...before, LOOP_NAME].join(', ')]
}

function loopValues(rawHeaders: readonly string[]): string[] {
  return rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === 'cdn-loop')
}

/** Who was forwarded for whom, name, value, name, value. */
export function forwardedBy(connection: Connection, authority: string): string[] {
  const { remoteAddress } = connection
  const proto = connection.isSecure ? 'https' : 'http'
  // RFC 7239 section 6: an IPv6 address in brackets and quotes.
  const node = remoteAddress.includes(':') ? `"[${remoteAddress}]"` : remoteAddress
  return [
    ...['X-Forwarded-For', remoteAddress, 'X-Forwarded-Proto', proto, 'X-Forwarded-Host', authority],
    ...['X-Real-IP', remoteAddress, 'Forwarded', `for=${node};host="${authority}";proto=${proto}`],
  ]
}

/** The fields of an upstream's answer as the visitor gets them. */
export function visitorFields(rawHeaders: readonly string[]): Fields {
  const named = connectionTokens(rawHeaders)
  const fields: [string, string][] = []
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = (rawHeaders[at] ?? '').toLowerCase()
    if (!HOP_BY_HOP.has(name) && !named.has(name)) fields.push([name, rawHeaders[at + 1] ?? ''])
  }
  return fields
}

function connectionTokens(rawHeaders: readonly string[]): Set<string> {
  const tokens = new Set<string>()
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    if (rawHeaders[at]?.toLowerCase() !== 'connection') continue
    for (const token of (rawHeaders[at + 1] ?? '').split(',')) tokens.add(token.trim().toLowerCase())
  }
  return tokens
}
