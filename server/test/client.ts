import { admin } from './stack.ts'

/** A problem document that the API answered. */
export class ApiProblem extends Error {
  override name = 'ApiProblem'
  readonly status: number
  readonly code: string
  constructor(method: string, path: string, status: number, body: { code?: string; detail?: string }) {
    super(`${method} ${path}: ${status} ${body.code ?? ''} ${body.detail ?? ''}`)
    this.status = status
    this.code = body.code ?? ''
  }
}

/** The API as a script uses it: over HTTP with a bearer token. */
export type ApiClient = {
  readonly token: string
  get<T>(path: string): Promise<T>
  post<T>(path: string, body?: unknown): Promise<T>
  patch<T>(path: string, body: unknown): Promise<T>
  delete(path: string): Promise<void>
  /** Sends raw bytes, such as an archive. */
  upload<T>(path: string, type: string, bytes: Uint8Array): Promise<T>
}

/** Signs in and gives a client. */
export async function signIn(apiUrl: string, who: { email: string; password: string } = admin): Promise<ApiClient> {
  const { accessToken } = await call<{ accessToken: string }>(apiUrl, 'POST', '/auth/login', {
    email: who.email,
    password: who.password,
  })
  return apiClient(apiUrl, accessToken)
}

/** A client with a session's access token or an API token. */
export function apiClient(apiUrl: string, token: string): ApiClient {
  return {
    token,
    get: (path) => call(apiUrl, 'GET', path, undefined, token),
    post: (path, body = {}) => call(apiUrl, 'POST', path, body, token),
    patch: (path, body) => call(apiUrl, 'PATCH', path, body, token),
    delete: (path) => call(apiUrl, 'DELETE', path, undefined, token),
    upload: (path, type, bytes) => call(apiUrl, 'POST', path, bytes, token, type),
  }
}

async function call<T>(
  apiUrl: string,
  method: string,
  path: string,
  body?: unknown,
  token?: string,
  type = 'application/json',
): Promise<T> {
  const headers: Record<string, string> = {}
  if (token !== undefined) headers.authorization = `Bearer ${token}`
  if (body !== undefined) headers['content-type'] = type
  const content =
    body instanceof Uint8Array ? new Blob([new Uint8Array(body)]) : body === undefined ? null : JSON.stringify(body)
  const response = await fetch(`${apiUrl}${path}`, {
    method,
    headers,
    body: content,
    signal: AbortSignal.timeout(60_000),
  })
  const text = await response.text()
  const answer = text === '' ? null : JSON.parse(text)
  if (!response.ok) throw new ApiProblem(method, path, response.status, answer ?? {})
  return answer as T
}
