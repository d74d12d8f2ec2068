import type { UserView } from '#server/control/auth/schema.ts'
import { problemOf, toProblem } from './problem.ts'

const BASE = '/api/v1'
/** Longest wait for an answer; uploads have none, since they show their progress. */
const TIMEOUT_MS = 30_000
/** A token is renewed this long before it ends, so that a slow request does not outlive it. */
const RENEW_BEFORE_MS = 20_000

/** What log-in, set-up and refresh answer. */
export type SessionGrant = { accessToken: string; expiresInSeconds: number; user: UserView }

/** The query of a list whose parameters may be undefined: then they are not sent. */
export type Filter<T> = { [Key in keyof T]: T[Key] | undefined }

/** Query parameters; an undefined or empty one is left out. */
export type Query = Record<string, string | number | boolean | undefined>

type Token = { value: string; renewAt: number }

let token: Token | null = null
let refreshing: Promise<SessionGrant> | null = null
let onSessionEnd: () => void = () => {}

/** Keeps the access token of a log-in, in memory alone. */
export function keepGrant(grant: SessionGrant): SessionGrant {
  token = { value: grant.accessToken, renewAt: Date.now() + grant.expiresInSeconds * 1000 - RENEW_BEFORE_MS }
  return grant
}

/** Forgets the access token. */
export function dropToken(): void {
  token = null
}

/** `ended` is called when the session cannot be renewed any more. */
export function whenSessionEnds(ended: () => void): void {
  onSessionEnd = ended
}

/** Gets a new access token by the refresh cookie; calls at the same time share one request. Throws ApiProblem. */
export function refreshSession(): Promise<SessionGrant> {
  refreshing ??= send('POST', '/auth/refresh', { body: {} })
    .then((response) => read<SessionGrant>(response))
    .then(keepGrant)
    .finally(() => {
      refreshing = null
    })
  return refreshing
}

/** A value for `Authorization`, renewed when it is about to end. */
export async function authorization(): Promise<string> {
  if (token === null || Date.now() >= token.renewAt) await refreshOrEnd()
  return `Bearer ${token?.value ?? ''}`
}

/** One call of the API as the signed-in user; a 401 is answered by one refresh and one more try. Throws ApiProblem. */
export async function call<T>(
  method: string,
  path: string,
  options: { query?: Query; body?: unknown; signal?: AbortSignal | undefined } = {},
): Promise<T> {
  const first = await send(method, path, { ...options, authorization: await authorization() })
  if (first.status !== 401) return read<T>(first)
  await refreshOrEnd()
  return read<T>(await send(method, path, { ...options, authorization: await authorization() }))
}

/** A call that needs no session: log-in, set-up. Throws ApiProblem. */
export async function callAsGuest<T>(method: string, path: string, body?: unknown): Promise<T> {
  return read<T>(await send(method, path, { body }))
}

/** The address of a call, with its query. */
export function urlOf(path: string, query: Query = {}): string {
  const search = new URLSearchParams()
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== '') search.set(key, String(value))
  }
  const text = search.toString()
  return `${BASE}${path}${text === '' ? '' : `?${text}`}`
}

async function refreshOrEnd(): Promise<void> {
  try {
    await refreshSession()
  } catch (error) {
    const problem = toProblem(error)
    if (problem.status === 401 || problem.status === 403) {
      dropToken()
      onSessionEnd()
    }
    throw problem
  }
}

async function send(
  method: string,
  path: string,
  options: { query?: Query; body?: unknown; signal?: AbortSignal | undefined; authorization?: string },
): Promise<Response> {
  const headers = new Headers({ accept: 'application/json' })
  if (options.authorization !== undefined) headers.set('authorization', options.authorization)
  if (options.body !== undefined) headers.set('content-type', 'application/json')
  const timeout = AbortSignal.timeout(TIMEOUT_MS)
  try {
    return await fetch(urlOf(path, options.query), {
      method,
      headers,
      credentials: 'same-origin',
      body: options.body === undefined ? null : JSON.stringify(options.body),
      signal: options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout]),
    })
  } catch (error) {
    if (options.signal?.aborted) throw error
    throw toProblem(error)
  }
}

async function read<T>(response: Response): Promise<T> {
  const text = await response.text()
  const isJson = (response.headers.get('content-type') ?? '').includes('json')
  const body: unknown = isJson && text !== '' ? JSON.parse(text) : undefined
  if (!response.ok) throw problemOf(response.status, body)
  return body as T
}
