import type { IncomingHttpHeaders } from 'node:http'
import { Agent, request } from 'node:https'
import { BAD_NONCE, parseRetryAfter, problemOf } from './acme-problem.ts'
import { createCallObserver, type ObserveCall } from './ca-call.ts'
import { IssuerProblem, ownProblems } from './issuer.ts'

/** A whole exchange, connecting included. */
const TIMEOUT_MS = 20_000
/** Larger than any chain or directory; what is more is refused while it is read. */
const MAX_ANSWER_BYTES = 512 * 1_024
const MAX_CONNECTIONS = 32

/** An answer with a status below 400, or a rejected nonce. `data` is parsed JSON, or text. */
export type AcmeAnswer = { readonly status: number; readonly headers: IncomingHttpHeaders; readonly data: unknown }

/** HTTPS to one CA. */
export type AcmeTransport = {
  /** Throws `IssuerProblem` for every failure but a rejected nonce, which the caller repeats. */
  request(url: string, method: string, options?: { readonly data?: unknown }): Promise<AcmeAnswer>
  /** How far the CA's clock was ahead of ours in its last answer; null before one that says it. */
  skewMs(): number | null
  close(): void
}

/**
 * Opens connections to one CA alone: with its own trust roots when `trustRootPem` is given, limits on
 * time and size, no redirects. Nothing of it is global.
 */
export function createAcmeTransport(options: {
  readonly trustRootPem: string | null
  readonly version: string
  readonly timeoutMs?: number
  /** Our clock, which the CA's is compared with. */
  readonly now?: () => Date
  readonly observe?: ObserveCall
}): AcmeTransport {
  const agent = new Agent({
    keepAlive: true,
    maxSockets: MAX_CONNECTIONS,
    ...(options.trustRootPem === null ? {} : { ca: options.trustRootPem }),
  })
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS
  const headers = { 'user-agent': `Nameplate/${options.version}`, accept: '*/*' }
  let skewMs: number | null = null
  const observed = createCallObserver(options.observe)
  const send = async (url: string, method: string, data: unknown): Promise<AcmeAnswer> => {
    const body = data === undefined ? undefined : JSON.stringify(data)
    const raw = await exchange({ agent, timeoutMs, headers }, url, method.toUpperCase(), body)
    const theirs = Date.parse(raw.headers.date ?? '')
    if (!Number.isNaN(theirs)) skewMs = theirs - (options.now?.().getTime() ?? Date.now())
    const retryAfterMs = parseRetryAfter(raw.headers['retry-after'], new Date())
    const answer = { status: raw.status, headers: raw.headers, data: parseBody(raw.headers, raw.text) }
    const isBadNonce = raw.status === 400 && (answer.data as { type?: unknown } | null)?.type === BAD_NONCE
    if (raw.status >= 300 && !isBadNonce) throw problemOf(raw.status, answer.data, retryAfterMs)
    return answer
  }
  return {
    request: (url, method, { data } = {}) => observed(url, () => send(url, method, data)),
    skewMs: () => skewMs,
    close: () => agent.destroy(),
  }
}

type RawAnswer = { readonly status: number; readonly headers: IncomingHttpHeaders; readonly text: string }

type Exchange = {
  readonly agent: Agent
  readonly timeoutMs: number
  readonly headers: Readonly<Record<string, string>>
}

function exchange(
  { agent, timeoutMs, headers }: Exchange,
  url: string,
  method: string,
  body: string | undefined,
): Promise<RawAnswer> {
  if (!url.startsWith('https://')) return Promise.reject(unreachable(url, new Error('only https is used')))
  return new Promise((resolve, reject) => {
    const failed = (cause: unknown): void => reject(unreachable(url, cause))
    const extra = body === undefined ? {} : { 'content-type': 'application/jose+json' }
    const signal = AbortSignal.timeout(timeoutMs)
    const outgoing = request(url, { agent, method, headers: { ...headers, ...extra }, signal }, (incoming) => {
      const chunks: Buffer[] = []
      let bytes = 0
      incoming.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        if (bytes > MAX_ANSWER_BYTES) incoming.destroy(new Error('the answer is too large'))
        else chunks.push(chunk)
      })
      incoming.on('error', failed)
      incoming.on('end', () =>
        resolve({
          status: incoming.statusCode ?? 0,
          headers: incoming.headers,
          text: Buffer.concat(chunks).toString('utf8'),
        }),
      )
    })
    outgoing.on('error', failed)
    outgoing.end(body)
  })
}

function parseBody(headers: IncomingHttpHeaders, text: string): unknown {
  if (!/[/+]json\b/.test(headers['content-type'] ?? '')) return text
  try {
    return JSON.parse(text) as unknown
  } catch {
    return text
  }
}

/** Errors of connecting: no byte of the request has gone. */
const neverSent = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'])

function unreachable(url: string, cause: unknown): IssuerProblem {
  const error = cause as NodeJS.ErrnoException
  const timedOut = error.name === 'TimeoutError' || (error.cause as Error | undefined)?.name === 'TimeoutError'
  const reason = timedOut ? `no answer in time` : (error.code ?? error.message)
  const host = URL.canParse(url) ? new URL(url).host : 'the CA'
  const mayHaveTakenEffect = !neverSent.has(error.code ?? '')
  return new IssuerProblem({ type: ownProblems.unreachable, detail: `${host}: ${reason}`, mayHaveTakenEffect, cause })
}
