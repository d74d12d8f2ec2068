import { randomBytes } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { buildApi } from '../control/api/app.ts'
import { type Actor, guest } from '../control/auth/access.ts'
import type { Db } from '../control/db.ts'
import { AppError } from '../control/errors.ts'
import { createVault } from '../control/vault.ts'
import { createLog } from '../process/log.ts'

/** Everybody who may call: a row of a route table each. */
export const callers = ['guest', 'stranger', 'viewer', 'member', 'owner', 'support', 'admin'] as const

/** One of `callers`. `stranger` owns another tenant. */
export type Caller = (typeof callers)[number]

/** Two tenants and everybody who may call. */
export type Hosting = {
  readonly tenantId: string
  readonly otherTenantId: string
  readonly actors: Readonly<Record<Caller, Actor>>
}

/** Makes two tenants, users with each role, and their actors. */
export async function createHosting(db: Db): Promise<Hosting> {
  const tenant = await db.tenant.create({ data: { name: 'Acme' } })
  const other = await db.tenant.create({ data: { name: 'Other' } })
  const user = async (
    name: string,
    platformRole: 'admin' | 'support' | null,
    membership: readonly [string, 'viewer' | 'member' | 'owner'] | null,
  ): Promise<Actor> => {
    const email = `${name}@example.test`
    const { id } = await db.user.create({ data: { email, platformRole } })
    const memberships = new Map(membership === null ? [] : [membership])
    return { kind: 'user', userId: id, email, platformRole, memberships, token: null }
  }
  return {
    tenantId: tenant.id,
    otherTenantId: other.id,
    actors: {
      guest,
      stranger: await user('stranger', null, [other.id, 'owner']),
      viewer: await user('viewer', null, [tenant.id, 'viewer']),
      member: await user('member', null, [tenant.id, 'member']),
      owner: await user('owner', null, [tenant.id, 'owner']),
      support: await user('support', 'support', null),
      admin: await user('admin', 'admin', null),
    },
  }
}

/** The API on a port of its own. `np_<caller>` is the token of each caller. */
export type ServedApi = AsyncDisposable & { readonly url: string }

/** Serves routes as the product does, but for who calls. */
export async function serveRoutes(
  db: Db,
  actors: Readonly<Record<Caller, Actor>>,
  routes: readonly FastifyPluginAsyncTypebox[],
): Promise<ServedApi> {
  const app = await buildApi({
    log: createLog('test', 'fatal'),
    db,
    vault: createVault(randomBytes(32)),
    authenticate: async (credential) => {
      const name = credential.kind === 'token' ? credential.token.slice(3) : ''
      const caller = callers.find((item) => item === name)
      if (caller === undefined) throw new AppError('UNAUTHENTICATED', 'unknown')
      const actor = actors[caller]
      if (actor.kind !== 'user') return actor
      const suspended = await db.tenant.findMany({ where: { state: 'suspended' }, select: { id: true } })
      return { ...actor, suspended: new Set(suspended.map(({ id }) => id)) }
    },
    routes,
    webFolder: null,
    version: '0.0.0',
    isBehindListener: false,
    health: async () => ({ status: 'ok', version: '0.0.0', checks: {} }),
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  return {
    url: `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/api/v1`,
    [Symbol.asyncDispose]: () => app.close(),
  }
}

/** An answer of the API. */
export type Answer = { readonly status: number; readonly body: Record<string, unknown> }

/** Calls the API as somebody: JSON, or raw bytes with their type. */
export async function callAs(
  api: ServedApi,
  caller: Caller,
  method: string,
  path: string,
  body?: unknown,
  type = 'application/json',
): Promise<Answer> {
  const headers: Record<string, string> = caller === 'guest' ? {} : { authorization: `Bearer np_${caller}` }
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

/** The status that each of `callers` gets, in their order. */
export async function statusesOf(api: ServedApi, method: string, path: string, body?: unknown): Promise<number[]> {
  const statuses: number[] = []
  for (const caller of callers) statuses.push((await callAs(api, caller, method, path, body)).status)
  return statuses
}
