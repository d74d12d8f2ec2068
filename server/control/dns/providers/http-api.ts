import type { HttpAnswer, HttpCall, HttpCaller } from '../../outbound/http-call.ts'
import { asProviderError, type DnsProviderCode, DnsProviderError, PROVIDER_MS } from '../provider.ts'

/** A whole zone may come back from older PowerDNS; all else is far smaller. */
const MAX_ANSWER_BYTES = 8 * 1_024 * 1_024
/** Longest wait that a provider may ask for. */
const MAX_RETRY_AFTER_MS = 24 * 3_600_000
/** Of what a provider says, so much is shown. */
const MAX_SAID_LENGTH = 200

/** One API of HTTP and JSON. `place` begins the texts of errors; `said` finds the provider's own words. */
export type HttpApi = {
  readonly call: HttpCaller
  readonly place: string
  readonly headers: Readonly<Record<string, string>>
  readonly caPem?: string | undefined
  readonly said: (body: unknown) => string | null
}

/** Calls an API and gives status and parsed body (null where it is no JSON). Throws `DnsProviderError` unless 2xx or `accepts`. */
export async function callApi(
  api: HttpApi,
  request: {
    readonly method: HttpCall['method']
    readonly url: string
    readonly body?: unknown
    readonly headers?: Readonly<Record<string, string>>
    readonly signal: AbortSignal
    readonly accepts?: (status: number, body: unknown) => boolean
  },
): Promise<{ readonly status: number; readonly body: unknown }> {
  const { method, url, signal } = request
  const answer = await api
    .call(url, {
      method,
      headers: { ...api.headers, ...request.headers },
      ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
      maxBytes: MAX_ANSWER_BYTES,
      timeoutMs: PROVIDER_MS,
      caPem: api.caPem,
      signal,
    })
    .catch((error: unknown) => {
      throw asProviderError(error, api.place)
    })
  const body = parse(answer.text)
  const isGood = answer.status >= 200 && answer.status < 300
  if (isGood || request.accepts?.(answer.status, body) === true) return { status: answer.status, body }
  throw refusal(api, answer, body)
}

function refusal(api: HttpApi, answer: HttpAnswer, body: unknown): DnsProviderError {
  const { status } = answer
  const said = api.said(body)
  const words = said === null ? '' : `: ${said.slice(0, MAX_SAID_LENGTH)}`
  const [code, text] = kindOf(status)
  return new DnsProviderError(code, `${api.place} ${text} (HTTP ${status})${words}`, {
    retryAfterMs: retryAfterMs(answer.retryAfter),
  })
}

function kindOf(status: number): [DnsProviderCode, string] {
  if (status === 401 || status === 403)
    return ['credentials', 'does not accept the key or token, or it may not do this']
  if (status === 404) return ['zone', 'does not know the zone, or the URL is wrong']
  if (status === 429) return ['rate-limited', 'asks us to call less often']
  if (status >= 500) return ['unreachable', 'has a problem of its own']
  if (status >= 300 && status < 400) return ['config', 'redirects elsewhere, which is not followed. Give the final URL']
  return ['refused', 'refused the change']
}

/** Seconds or a date (RFC 9110 section 10.2.3), at most a day; null where there is none. */
function retryAfterMs(text: string | null): number | null {
  if (text === null) return null
  const ms = /^\d{1,9}$/.test(text.trim()) ? Number(text) * 1_000 : Date.parse(text) - Date.now()
  return Number.isNaN(ms) ? null : Math.min(Math.max(0, ms), MAX_RETRY_AFTER_MS)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return null
  }
}

/** A property of something that may be no object. */
export function property(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined
}

/** The items of something that may be no list. */
export function items(value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}

/** A string property, or null. */
export function text(value: unknown, name: string): string | null {
  const found = property(value, name)
  return typeof found === 'string' ? found : null
}
