import { randomBytes } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { buildApi } from '../control/api/app.ts'
import { createAuthenticate } from '../control/auth/authenticate.ts'
import type { Db } from '../control/db.ts'
import { createVault } from '../control/vault.ts'
import { createLog } from '../process/log.ts'
import { accessToken, type Kind, kinds, type People } from './api.ts'

/** The API on a port of its own, for what has to come over a real connection: uploads. */
export type ServedApi = AsyncDisposable & {
  readonly url: string
  /** The header of a caller; none for a guest. */
  readonly authorization: Readonly<Record<Kind, Readonly<Record<string, string>>>>
}

/** Serves routes as the product does, to these people. */
export async function serveRoutes(
  db: Db,
  { people }: People,
  routes: readonly FastifyPluginAsyncTypebox[],
): Promise<ServedApi> {
  const app = await buildApi({
    log: createLog('test', 'fatal'),
    db,
    vault: createVault(randomBytes(32)),
    authenticate: createAuthenticate(db),
    routes,
    webFolder: null,
    version: '0.0.0',
    isBehindListener: false,
    health: async () => ({ status: 'ok', version: '0.0.0', checks: {} }),
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const headerOf = (kind: Kind) =>
    kind === 'guest' ? {} : { authorization: `Bearer ${accessToken(app, people[kind])}` }
  return {
    url: `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/api/v1`,
    authorization: Object.fromEntries(kinds.map((kind) => [kind, headerOf(kind)])) as ServedApi['authorization'],
    [Symbol.asyncDispose]: () => app.close(),
  }
}

/** An answer of the API. */
export type Answer = { readonly status: number; readonly body: Record<string, unknown> }

/** Calls the API as somebody: JSON, or raw bytes with their type. */
export async function callAs(
  api: ServedApi,
  caller: Kind,
  method: string,
  path: string,
  body?: unknown,
  type = 'application/json',
): Promise<Answer> {
  const headers: Record<string, string> = { ...api.authorization[caller] }
  if (body !== undefined) headers['content-type'] = type
  const content = body instanceof Buffer ? new Blob([new Uint8Array(body)]) : JSON.stringify(body)
  const response = await fetch(api.url + path, {
    method,
    headers,
    ...(body === undefined ? {} : { body: content }),
    signal: AbortSignal.timeout(60_000),
  })
  const text = await response.text()
  return { status: response.status, body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>) }
}

/** The status that each of `kinds` gets, in their order. */
export async function statusesOf(api: ServedApi, method: string, path: string, body?: unknown): Promise<number[]> {
  const statuses: number[] = []
  for (const caller of kinds) statuses.push((await callAs(api, caller, method, path, body)).status)
  return statuses
}
