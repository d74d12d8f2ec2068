import { randomBytes } from 'node:crypto'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import { PANEL_HOP_FIELD, panelHopToken } from '../contract/panel-hop.ts'
import { buildApi } from '../control/api/app.ts'
import type { Actor, MemberRole } from '../control/auth/access.ts'
import { createAuthenticate } from '../control/auth/authenticate.ts'
import type { Db } from '../control/db.ts'
import { ticketEpochAt, ticketLabel } from '../control/publish/compile.ts'
import { createVault, type Vault } from '../control/vault.ts'
import { createLog, type Logger } from '../process/log.ts'
import { createTestDatabase } from './database.ts'

/** Who may call, weakest first. `stranger` owns another tenant; viewer, member and owner are of the rig's. */
export const kinds = ['guest', 'stranger', 'viewer', 'member', 'owner', 'support', 'admin'] as const

/** One of `kinds`. */
export type Kind = (typeof kinds)[number]

/** What the routes of a rig may be made of. */
export type RigParts = {
  readonly db: Db
  readonly databaseUrl: string
  readonly vault: Vault
  readonly tenantId: string
  readonly otherTenantId: string
}

/** The real API with the given routes on a database of its own, and a signed-in person of each kind. */
export type ApiRig = AsyncDisposable &
  RigParts & {
    readonly app: FastifyInstance
    readonly userIds: Readonly<Record<Exclude<Kind, 'guest'>, string>>
    /** Calls as that person: `url` is relative to `/api/v1`, `actor` is for calling services directly. */
    as(kind: Kind): { readonly actor: Actor; readonly token: string | null; inject: Inject }
  }

type Inject = (call: InjectOptions & { readonly url: string }) => Promise<LightMyRequestResponse>
/** Somebody who is signed in. */
type Person = { readonly userId: string; readonly sessionId: string; readonly actor: Actor }

/** What an edge adds to a request for the panel. */
export function edgeHeaders(vault: Vault): Readonly<Record<string, string>> {
  return { [PANEL_HOP_FIELD]: panelHopToken(vault.derive(ticketLabel(ticketEpochAt(Date.now())))) }
}

/** Makes a rig; end it with `await using`. */
export async function createApiRig(options: {
  readonly routes: (parts: RigParts) => readonly FastifyPluginAsyncTypebox[]
  readonly webFolder?: string
  readonly isBehindListener?: boolean
  readonly log?: Logger
}): Promise<ApiRig> {
  const database = await createTestDatabase()
  const { db } = database
  const vault = createVault(randomBytes(32))
  const { tenantId, otherTenantId, people } = await makePeople(db)
  const parts = { db, databaseUrl: database.url, vault, tenantId, otherTenantId }
  const app = await buildApi({
    log: options.log ?? createLog('test', process.env['TEST_LOG'] ?? 'fatal'),
    db,
    vault,
    authenticate: createAuthenticate(db),
    routes: options.routes(parts),
    webFolder: options.webFolder ?? null,
    version: 'test',
    isBehindListener: options.isBehindListener ?? false,
    health: async () => ({ status: 'ok', version: 'test', checks: {} }),
  })
  const token = (kind: Kind): string | null => (kind === 'guest' ? null : accessToken(app, people[kind]))
  return {
    ...parts,
    app,
    userIds: {
      stranger: people.stranger.userId,
      viewer: people.viewer.userId,
      member: people.member.userId,
      owner: people.owner.userId,
      support: people.support.userId,
      admin: people.admin.userId,
    },
    as(kind) {
      const bearer = token(kind)
      const authorization = bearer === null ? {} : { authorization: `Bearer ${bearer}` }
      return {
        actor: kind === 'guest' ? { kind: 'guest' } : people[kind].actor,
        token: bearer,
        inject: (call) =>
          app.inject({ ...call, url: `/api/v1${call.url}`, headers: { ...authorization, ...call.headers } }),
      }
    },
    async [Symbol.asyncDispose]() {
      await app.close()
      await database[Symbol.asyncDispose]()
    },
  }
}

/** Two tenants, and a signed-in person of each kind. */
export type People = {
  readonly tenantId: string
  readonly otherTenantId: string
  readonly people: Readonly<Record<Exclude<Kind, 'guest'>, Person>>
}

/** Makes two tenants, `First` and `Other`, and a signed-in person of each kind. */
export async function makePeople(db: Db): Promise<People> {
  const tenantId = (await db.tenant.create({ data: { name: 'First' } })).id
  const otherTenantId = (await db.tenant.create({ data: { name: 'Other' } })).id
  const people = {
    stranger: await makePerson(db, 'stranger', null, [otherTenantId, 'owner']),
    viewer: await makePerson(db, 'viewer', null, [tenantId, 'viewer']),
    member: await makePerson(db, 'member', null, [tenantId, 'member']),
    owner: await makePerson(db, 'owner', null, [tenantId, 'owner']),
    support: await makePerson(db, 'support', 'support', null),
    admin: await makePerson(db, 'admin', 'admin', null),
  }
  return { tenantId, otherTenantId, people }
}

/** The access token of a person at this API. */
export function accessToken(app: FastifyInstance, { userId, sessionId }: Person): string {
  return app.jwt.sign({ sub: userId, sid: sessionId })
}

async function makePerson(
  db: Db,
  name: string,
  platformRole: 'admin' | 'support' | null,
  membership: readonly [tenantId: string, role: MemberRole] | null,
): Promise<Person> {
  const email = `${name}@example.test`
  const { id: userId } = await db.user.create({
    data: {
      email,
      platformRole,
      ...(membership === null ? {} : { memberships: { create: [{ tenantId: membership[0], role: membership[1] }] } }),
    },
  })
  const { id: sessionId } = await db.session.create({
    data: { userId, secretHash: new Uint8Array(randomBytes(32)), expiresAt: new Date(Date.now() + 3_600_000) },
  })
  const memberships = new Map(membership === null ? [] : [membership])
  return { userId, sessionId, actor: { kind: 'user', userId, email, platformRole, memberships, token: null } }
}

/** The statuses that a call gets from each kind of caller, for tables of routes. */
export async function statusByKind(rig: ApiRig, call: Parameters<Inject>[0]): Promise<Record<Kind, number>> {
  const entries: [Kind, number][] = []
  for (const kind of kinds) entries.push([kind, (await rig.as(kind).inject(call)).statusCode])
  return Object.fromEntries(entries) as Record<Kind, number>
}
