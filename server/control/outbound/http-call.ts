import { type IncomingMessage, request as requestPlain } from 'node:http'
import { request as requestTls } from 'node:https'
import { isIP } from 'node:net'
import { createReach, type Reach } from '../../contract/reach.ts'
import { DialError, judgedAddresses } from './dialler.ts'
import type { Lookups } from './resolver.ts'

const MAX_HEAD_BYTES = 16_384
const CONNECT_MS = 5_000

/** One call. `timeoutMs` is for all of it, lookups too; `caPem` are roots trusted for this call alone. */
export type HttpCall = {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  readonly maxBytes: number
  readonly timeoutMs: number
  readonly caPem?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/** An answer of any status; redirects are answers too and never followed. */
export type HttpAnswer = { readonly status: number; readonly text: string; readonly retryAfter: string | null }

/** Calls HTTP APIs whose URL a tenant chooses. */
export type HttpCaller = (url: string, call: HttpCall) => Promise<HttpAnswer>

/** What public addresses are, whatever an admin allows besides. */
const isPublic = createReach([])

/**
 * Makes the caller. The host is resolved, every address judged, and the connection goes to a judged
 * address itself, under the name (SNI, Host). Plain `http:` carries secrets in the open: it is used only to
 * addresses that are not public, which an admin has allowed. Throws `DialError`.
 */
export function createHttpCaller({ lookups, reach }: { lookups: Lookups; reach: Reach }): HttpCaller {
  return async (text, call) => {
    const url = readUrl(text)
    const deadline = AbortSignal.timeout(call.timeoutMs)
    const signal = call.signal === undefined ? deadline : AbortSignal.any([deadline, call.signal])
    const addresses = await untilAborted(judgedAddresses(lookups, reach, url.hostname), signal)
    if (url.protocol === 'http:' && addresses.some(isPublic))
      throw new DialError('url', 'a URL with http:// is used only within a private network; use https://')
    let last: unknown = new DialError('connect', 'nothing answers there')
    for (const address of addresses) {
      try {
        return await callAddress(address, url, call, signal)
      } catch (error) {
        last = error
        if (!(error instanceof DialError) || error.code !== 'connect') break
      }
    }
    throw last
  }
}

function readUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null) throw new DialError('url', 'this is not a URL')
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw new DialError('url', 'the URL has to be https://')
  if (url.username !== '' || url.password !== '') throw new DialError('url', 'the URL has a user name in it')
  return url
}

function callAddress(address: string, url: URL, call: HttpCall, signal: AbortSignal): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const isTls = url.protocol === 'https:'
    const body = call.body === undefined ? undefined : Buffer.from(call.body)
    const options = {
      host: address,
      port: url.port === '' ? (isTls ? 443 : 80) : Number(url.port),
      path: `${url.pathname}${url.search}`,
      method: call.method,
      agent: false as const,
      signal,
      maxHeaderSize: MAX_HEAD_BYTES,
      headers: {
        host: url.host,
        'user-agent': 'Nameplate',
        accept: 'application/json',
        connection: 'close',
        ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': body.length }),
        ...call.headers,
      },
    }
    // An address is no server name (RFC 6066 section 3); the certificate is compared with it all the same.
    const isName = isIP(url.hostname.replace(/^\[(.*)\]$/, '$1')) === 0
    const tls = {
      ...(isName ? { servername: url.hostname } : {}),
      ...(call.caPem === undefined ? {} : { ca: call.caPem }),
    }
    const outgoing = isTls ? requestTls({ ...options, ...tls }) : requestPlain(options)
    const timer = setTimeout(() => outgoing.destroy(new DialError('connect', 'nothing answers there')), CONNECT_MS)
    outgoing.on('socket', (socket) => socket.once('connect', () => clearTimeout(timer)))
    outgoing.on('close', () => clearTimeout(timer))
    outgoing.on('error', (error) => reject(callError(error, signal)))
    outgoing.on('response', (response) => {
      readAnswer(response, call.maxBytes).then(resolve, (error: Error) => reject(callError(error, signal)))
    })
    outgoing.end(body)
  })
}

async function readAnswer(response: IncomingMessage, maxBytes: number): Promise<HttpAnswer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > maxBytes) throw new DialError('too-large', `the answer is larger than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return {
    status: response.statusCode ?? 0,
    text: Buffer.concat(chunks).toString('utf8'),
    retryAfter: response.headers['retry-after'] ?? null,
  }
}

function callError(error: NodeJS.ErrnoException, signal: AbortSignal): DialError {
  if (error instanceof DialError) return error
  if (signal.aborted) return new DialError('timeout', 'it did not answer in time')
  const code = error.code ?? ''
  if (code.startsWith('HPE_')) return new DialError('protocol', 'what answers there does not speak HTTP')
  if (code === 'ECONNRESET') return new DialError('protocol', 'the connection was closed without an answer')
  if (code === 'ECONNREFUSED') return new DialError('connect', 'nothing answers there')
  if (/CERT|SELF_SIGNED|UNABLE_TO|ALTNAME|SSL|EPROTO/.test(code))
    return new DialError('protocol', `its certificate or TLS cannot be used (${code})`)
  return new DialError('connect', `it cannot be reached (${code})`)
}

function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  const expire = (): void => reject(new DialError('timeout', 'it did not answer in time'))
  if (signal.aborted) expire()
  signal.addEventListener('abort', expire, { once: true })
  work.then(resolve, reject)
  return promise.finally(() => signal.removeEventListener('abort', expire))
}
