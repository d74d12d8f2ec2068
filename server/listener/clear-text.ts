import { hostOf } from '../contract/names.ts'
import type { EdgeReader } from './edge-store.ts'
import { findName } from './vhost.ts'

/** More than the head of any honest first request of a browser. */
const MAX_HEAD_BYTES = 16 * 1024
const HEAD_END = '\r\n\r\n'
/** RFC 9112 section 3: one space, a target in origin form of printable ASCII. */
const REQUEST_LINE = /^[A-Z]{3,7} (\/[\x21-\x7e]*) HTTP\/1\.[01]\r\n/
const HOST_LINE = /\r\nhost:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)/gi

/**
 * Answers clear-text HTTP that came to the TLS port: a redirect to HTTPS when its Host is a name
 * that we serve with a certificate, else 400. Null: more bytes are needed. Never a site's content.
 */
export function clearTextAnswer(bytes: Buffer, reader: Pick<EdgeReader, 'get'>, port: number): string | null {
  const end = bytes.indexOf(HEAD_END)
  if (end < 0 && bytes.length <= MAX_HEAD_BYTES) return null
  const location = end < 0 || end > MAX_HEAD_BYTES ? null : httpsUrl(bytes.toString('latin1', 0, end + 2), reader, port)
  if (location === null) return answer('400 Bad Request', [], 'This port speaks HTTPS.\n')
  return answer('308 Permanent Redirect', [`Location: ${location}`], `Go to ${location}\n`)
}

function httpsUrl(head: string, reader: Pick<EdgeReader, 'get'>, port: number): string | null {
  const target = REQUEST_LINE.exec(head)?.[1]
  const hosts = [...head.matchAll(HOST_LINE)]
  const host = hosts.length === 1 ? hostOf(hosts[0]?.[1] ?? '') : null
  if (target === undefined || host === null || !findName(reader, host)?.certificates.length) return null
  return `https://${host}${port === 443 ? '' : `:${port}`}${target}`
}

function answer(status: string, headers: readonly string[], body: string): string {
  const head = [
    `HTTP/1.1 ${status}`,
    ...headers,
    'Content-Type: text/plain; charset=utf-8',
    `Content-Length: ${body.length}`,
    'Cache-Control: no-store',
    'Connection: close',
  ]
  return `${head.join('\r\n')}\r\n\r\n${body}`
}
