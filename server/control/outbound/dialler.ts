import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import { isIP } from 'node:net'
import type { Reach } from '../../contract/reach.ts'
import { createLookups, type Lookups } from './resolver.ts'

const HTTP_PORT = 80
/** A head larger than this is no answer that we would want. */
const MAX_HEAD_BYTES = 16_384
/** Addresses of one name that are tried, one after the other. */
const MAX_ADDRESSES = 4
/** So that one address that swallows packets leaves time for the next. */
const CONNECT_MS = 3_000
const redirectStatuses = new Set([301, 302, 303, 307, 308])

/** Why a fetch gave nothing. `message` is fit for a tenant's eyes. */
export class DialError extends Error {
  override name = 'DialError'
  readonly code: DialCode
  constructor(code: DialCode, message: string) {
    super(message)
    this.code = code
  }
}

/** Stable kinds of `DialError`. */
export type DialCode =
  | 'url'
  | 'dns'
  | 'forbidden-address'
  | 'connect'
  /** This machine has no way to such addresses, IPv6 mostly: says nothing about the other side. */
  | 'no-route'
  | 'timeout'
  | 'too-large'
  | 'redirect'
  | 'protocol'

/** Limits of one fetch. `timeoutMs` is for all of it: lookups, redirects and body. */
export type FetchLimits = { readonly maxBytes: number; readonly timeoutMs: number; readonly redirects: number }

/** The answer at the end of the redirects. */
export type FetchedText = { readonly status: number; readonly text: string; readonly url: string }

/** What one address answered; redirects are not followed. `text` is empty for a redirect. */
export type FetchedAnswer = {
  readonly status: number
  readonly text: string
  readonly headers: IncomingHttpHeaders
  /** Where a redirect leads, as it was written. */
  readonly location: string | null
}

/** The only way out for connections whose target a tenant chooses. */
export type Dialler = Lookups & {
  /**
   * Gets an `http:` URL on port 80 with GET. The name is resolved, every address is judged, and the
   * connection goes to a judged address itself, so that a second lookup cannot change it; so at
   * each redirect. Throws `DialError`.
   */
  fetchText(url: string, limits: FetchLimits): Promise<FetchedText>
  /**
   * The same for one address of the URL's host that the caller has looked up, and without redirects. The
   * address is judged like any other. Throws `DialError`.
   */
  fetchFrom(address: string, url: string, limits: Omit<FetchLimits, 'redirects'>): Promise<FetchedAnswer>
}

/** `httpPort` stands in for port 80 where a test cannot bind it. */
export type DiallerOptions = {
  readonly reach: Reach
  readonly dnsServers: readonly string[] | null
  readonly httpPort?: number
}

/** Makes the dialler over the resolvers and the reach of this installation. */
export function createDialler(options: DiallerOptions): Dialler {
  const lookups = createLookups(options.dnsServers)
  const port = options.httpPort ?? HTTP_PORT
  return {
    ...lookups,
    async fetchText(text, limits) {
      const deadline = AbortSignal.timeout(limits.timeoutMs)
      let url = readUrl(text)
      for (let hop = 0; ; hop++) {
        const addresses = await withDeadline(judgedAddresses(lookups, options.reach, url.hostname), deadline)
        const answer = await dialAny(addresses, url, port, limits.maxBytes, deadline)
        if (answer.location === null) return { status: answer.status, text: answer.text, url: url.href }
        if (hop >= limits.redirects) throw new DialError('redirect', 'it redirects too many times')
        url = readRedirect(answer.location, url)
      }
    },
    async fetchFrom(address, text, limits) {
      const url = readUrl(text)
      if (!options.reach(address))
        throw new DialError('forbidden-address', `${url.hostname} leads to an address that is not public (${address})`)
      return dial(address, url, port, limits.maxBytes, AbortSignal.timeout(limits.timeoutMs))
    },
  }
}

function readUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null) throw new DialError('url', 'this is not a URL')
  if (url.protocol !== 'http:')
    throw new DialError('url', `it leads to a URL that does not begin with http:// (${url.origin})`)
  if (url.port !== '') throw new DialError('url', 'it leads to a port other than 80')
  if (url.username !== '' || url.password !== '') throw new DialError('url', 'it leads to a URL with a user name')
  return url
}

function readRedirect(location: string, from: URL): URL {
  if (!URL.canParse(location, from.href)) throw new DialError('redirect', 'it redirects to something that is no URL')
  const target = new URL(location, from.href)
  if (target.protocol === 'https:')
    throw new DialError('redirect', 'it redirects to https, which this proof cannot follow')
  return readUrl(target.href)
}

/**
 * The addresses of a host (a name or an address, in brackets or not) that may be dialled, at most four,
 * IPv4 first. Throws `DialError` when there is none. Dial these very addresses, never the name again.
 */
export async function judgedAddresses(lookups: Lookups, reach: Reach, target: string): Promise<string[]> {
  const host = target.replace(/^\[(.*)\]$/, '$1')
  const addresses = isIP(host) === 0 ? await addressesOf(lookups, host) : [host]
  const allowed = addresses.filter(reach)
  if (allowed.length === 0)
    throw new DialError('forbidden-address', `${host} leads to an address that is not public (${addresses[0] ?? ''})`)
  return allowed.slice(0, MAX_ADDRESSES)
}

async function addressesOf(lookups: Lookups, host: string): Promise<string[]> {
  const results = await Promise.all([lookups.lookupA(host), lookups.lookupAaaa(host)])
  const addresses = results.flatMap((result) => (result.kind === 'found' ? result.values : []))
  if (addresses.length > 0) return addresses
  const unanswered = results.find((result) => result.kind === 'unanswered')
  throw new DialError('dns', unanswered === undefined ? `${host} has no address` : `${host}: ${unanswered.reason}`)
}

/** The next address is tried only while no connection was made: an answer is an answer. */
async function dialAny(
  addresses: string[],
  url: URL,
  port: number,
  maxBytes: number,
  deadline: AbortSignal,
): Promise<FetchedAnswer> {
  let last: unknown = new DialError('connect', 'nothing answers there')
  for (const address of addresses) {
    try {
      return await dial(address, url, port, maxBytes, deadline)
    } catch (error) {
      last = error
      if (!(error instanceof DialError) || (error.code !== 'connect' && error.code !== 'no-route')) break
    }
  }
  throw last
}

function dial(
  address: string,
  url: URL,
  port: number,
  maxBytes: number,
  deadline: AbortSignal,
): Promise<FetchedAnswer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({
      host: address,
      port,
      path: `${url.pathname}${url.search}`,
      method: 'GET',
      agent: false,
      signal: deadline,
      maxHeaderSize: MAX_HEAD_BYTES,
      headers: {
        host: url.host,
        'user-agent': 'Nameplate',
        accept: '*/*',
        'accept-encoding': 'identity',
        connection: 'close',
      },
    })
    const timer = setTimeout(
      () => outgoing.destroy(new DialError('connect', 'nothing answers on port 80 there')),
      CONNECT_MS,
    )
    outgoing.on('socket', (socket) => socket.once('connect', () => clearTimeout(timer)))
    outgoing.on('close', () => clearTimeout(timer))
    outgoing.on('error', (error) => reject(dialError(error, deadline)))
    outgoing.on('response', (response) => {
      readAnswer(response, maxBytes).then(resolve, (error: Error) => reject(dialError(error, deadline)))
    })
    outgoing.end()
  })
}

async function readAnswer(response: IncomingMessage, maxBytes: number): Promise<FetchedAnswer> {
  const status = response.statusCode ?? 0
  const { headers } = response
  if (redirectStatuses.has(status) && headers.location !== undefined) {
    response.destroy()
    return { status, headers, text: '', location: headers.location }
  }
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > maxBytes) throw new DialError('too-large', `the answer is larger than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return { status, headers, text: Buffer.concat(chunks).toString('utf8'), location: null }
}

function dialError(error: NodeJS.ErrnoException, deadline: AbortSignal): DialError {
  if (error instanceof DialError) return error
  if (deadline.aborted) return timedOut()
  const code = error.code ?? ''
  if (code.startsWith('HPE_')) return new DialError('protocol', 'what answers there does not speak HTTP')
  if (code === 'ECONNRESET') return new DialError('protocol', 'the connection was closed without an answer')
  if (code === 'ENETUNREACH' || code === 'EADDRNOTAVAIL')
    return new DialError('no-route', `it cannot be reached from here (${code})`)
  return new DialError(
    'connect',
    code === 'ECONNREFUSED' ? 'nothing answers on port 80 there' : `it cannot be reached (${code})`,
  )
}

function timedOut(): DialError {
  return new DialError('timeout', 'it did not answer in time')
}

function withDeadline<T>(work: Promise<T>, deadline: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const expire = (): void => reject(timedOut())
    if (deadline.aborted) return expire()
    deadline.addEventListener('abort', expire, { once: true })
    work.then(resolve, reject).finally(() => deadline.removeEventListener('abort', expire))
  })
}
