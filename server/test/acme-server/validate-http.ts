import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { isIPv6 } from 'node:net'
import { AcmeProblem } from './problem.ts'
import type { NameResolver } from './resolve.ts'
import type { Settings } from './settings.ts'

/** As Let's Encrypt has them. */
const MOST_REDIRECTS = 10
const MOST_BODY_BYTES = 1_024

type Ports = Pick<Settings, 'httpPort' | 'tlsPort' | 'validationTimeoutMs'>
type HttpChallenge = {
  readonly name: string
  readonly token: string
  readonly keyAuthorization: string
  readonly visit: (target: string) => void
}

/**
 * RFC 8555 section 8.3: fetches the token, follows redirects to the default ports of http and https (here: those of the
 * settings), and compares. Throws `connection`, `dns` or `unauthorized`, worded as Let's Encrypt words them.
 */
export async function validateHttp(challenge: HttpChallenge, resolver: NameResolver, ports: Ports): Promise<void> {
  const host = isIPv6(challenge.name) ? `[${challenge.name}]` : challenge.name
  let url = new URL(`http://${host}/.well-known/acme-challenge/${challenge.token}`)
  for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects++) {
    const { status, location, body, address } = await fetchAnywhere(url, challenge, resolver, ports)
    if (status >= 301 && status <= 308 && location !== undefined) {
      url = redirected(url, location)
      continue
    }
    if (status !== 200)
      throw new AcmeProblem('unauthorized', `${address}: Invalid response from ${url.href}: ${status}`)
    const text = body.trimEnd()
    if (text === challenge.keyAuthorization) return
    const detail = `${address}: The key authorization file from the server did not match this challenge. Expected ${JSON.stringify(challenge.keyAuthorization)} (got ${JSON.stringify(text.slice(0, 100))})`
    throw new AcmeProblem('unauthorized', detail)
  }
  throw new AcmeProblem('connection', `Fetching ${url.href}: Too many redirects`)
}

type Fetched = { status: number; location: string | undefined; body: string; address: string }

async function fetchAnywhere(
  url: URL,
  { visit }: HttpChallenge,
  resolver: NameResolver,
  ports: Ports,
): Promise<Fetched> {
  const addresses = await resolver.addresses(url.hostname.replace(/^\[|\]$/g, ''))
  let failure: unknown
  // An IPv6 address that cannot be reached is not the end (as at Let's Encrypt: once, by IPv4).
  for (const address of addresses.slice(0, 2)) {
    visit(`${url.href} at ${address}`)
    try {
      return await fetchAt(url, address, ports)
    } catch (error) {
      failure = error
    }
  }
  const reason = failure instanceof Error ? failure.message : String(failure)
  throw new AcmeProblem('connection', `${addresses[0]}: Fetching ${url.href}: ${reason}`)
}

function fetchAt(url: URL, address: string, ports: Ports): Promise<Fetched> {
  const isSecure = url.protocol === 'https:'
  const options = {
    host: address,
    port: isSecure ? ports.tlsPort : ports.httpPort,
    path: `${url.pathname}${url.search}`,
    headers: { host: url.hostname, 'user-agent': 'Nameplate test CA validation', accept: '*/*', connection: 'close' },
    agent: false,
    timeout: ports.validationTimeoutMs,
    signal: AbortSignal.timeout(ports.validationTimeoutMs),
  }
  return new Promise((resolve, reject) => {
    const take = (answer: IncomingMessage): void => {
      const chunks: Buffer[] = []
      const done = (): void => {
        const body = Buffer.concat(chunks).subarray(0, MOST_BODY_BYTES).toString('latin1')
        resolve({ status: answer.statusCode ?? 0, location: answer.headers.location, body, address })
        answer.destroy()
      }
      answer.on('data', (chunk: Buffer) => {
        chunks.push(chunk)
        if (chunks.reduce((sum, part) => sum + part.length, 0) >= MOST_BODY_BYTES) done()
      })
      answer.on('end', done)
      answer.on('error', reject)
    }
    // A certificate that is wrong is no hindrance: the name may be getting its first one.
    const outgoing = isSecure
      ? httpsRequest({ ...options, servername: url.hostname, rejectUnauthorized: false }, take)
      : httpRequest(options, take)
    outgoing.on('timeout', () => outgoing.destroy(new Error('Timeout during connect (likely firewall problem)')))
    outgoing.on('error', (error: NodeJS.ErrnoException) => reject(new Error(wordsOf(error))))
    outgoing.end()
  })
}

function redirected(from: URL, location: string): URL {
  const url = URL.parse(location, from.href)
  if (url === null)
    throw new AcmeProblem('connection', `Fetching ${from.href}: Invalid redirect ${JSON.stringify(location)}`)
  const isDefaultPort = url.port === '' && (url.protocol === 'http:' || url.protocol === 'https:')
  if (!isDefaultPort) {
    const detail = `Fetching ${url.href}: Invalid port or protocol in redirect target. Only http and https at ports 80 and 443 are supported`
    throw new AcmeProblem('connection', detail)
  }
  return url
}

function wordsOf(error: NodeJS.ErrnoException): string {
  if (error.code === 'ECONNREFUSED') return 'Connection refused'
  if (error.code === 'ECONNRESET') return 'Connection reset by peer'
  if (error.name === 'AbortError' || error.name === 'TimeoutError' || error.code === 'ETIMEDOUT') {
    return 'Timeout during connect (likely firewall problem)'
  }
  return 'Error getting validation data'
}
