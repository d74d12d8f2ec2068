import { randomBytes } from 'node:crypto'
import { CidrError, parseCidr } from '../../../contract/reach.ts'
import { type Db, write } from '../../db.ts'
import { AppError, notFound } from '../../errors.ts'
import { recordEvent } from '../../events/record.ts'
import type { ApiToken, Prisma } from '../../generated/client.ts'
import { type Page, type Paged, pageArguments, paged, type WriteOptions } from '../../schema.ts'
import { type Actor, actorName, requireTenant, requireUser } from '../access.ts'
import { TOKEN_PREFIX } from '../credential.ts'
import { sha256 } from '../refresh-secret.ts'
import type { NewToken, TokenView } from './schema.ts'
import { insertToken, revokeToken } from './store.ts'

const SECRET_BYTES = 32
const SHOWN_CHARACTERS = 10

/**
 * API tokens. Everybody makes tokens for himself, which never can do more than he can at that moment.
 * Owners also see and revoke those that are bound to their tenant, platform admins all.
 */
export type TokenService = {
  list(actor: Actor, page: Page): Promise<Paged<TokenView>>
  get(actor: Actor, id: string): Promise<TokenView>
  /** Makes a token; `token` in the answer is shown this once. */
  create(actor: Actor, input: NewToken, options: WriteOptions): Promise<TokenView & { token: string }>
  /** Ends a token; nothing happens when it has ended. */
  revoke(actor: Actor, id: string, options: WriteOptions): Promise<void>
}

/** Makes the service. */
export function createTokenService(db: Db): TokenService {
  const find = async (actor: Actor, id: string): Promise<ApiToken> => {
    const row = await db.apiToken.findFirst({ where: { AND: [{ id }, visible(actor)] } })
    if (row === null) throw notFound('API token')
    return row
  }
  return {
    async list(actor, page) {
      const where = visible(actor)
      return paged(await db.apiToken.findMany({ where, ...pageArguments(page) }), page, tokenView)
    },
    async get(actor, id) {
      return tokenView(await find(actor, id))
    },
    async create(actor, input, options) {
      const user = requireMaker(actor, input)
      checkCidrs(input.allowedCidrs ?? [])
      const token = TOKEN_PREFIX + randomBytes(SECRET_BYTES).toString('base64url')
      const row = await write(db, options, async (tx) => {
        const made = await insertToken(tx, {
          name: input.name,
          userId: user.userId,
          tenantId: input.tenantId ?? null,
          hash: sha256(token),
          prefix: token.slice(0, SHOWN_CHARACTERS),
          scopes: input.scopes,
          allowedCidrs: input.allowedCidrs ?? [],
          expiresAt: futureTime(input.expiresAt ?? null),
        })
        await recordEvent(tx, tokenEvent(actor, made, 'token.created'))
        return made
      })
      return { ...tokenView(row), token }
    },
    async revoke(actor, id, options) {
      const user = requireUser(actor)
      const row = await find(actor, id)
      if (user.token !== null && user.token.id !== id) requireUnbound(user)
      await write(db, options, async (tx) => {
        if (await revokeToken(tx, row.id)) await recordEvent(tx, tokenEvent(actor, row, 'token.revoked'))
      })
    },
  }
}

/** Own tokens, those bound to tenants that the actor owns, and for an admin all. */
function visible(actor: Actor): Prisma.ApiTokenWhereInput {
  const user = requireUser(actor)
  if (user.token !== null && user.token.tenantId !== null) return { id: user.token.id }
  if (user.platformRole === 'admin') return {}
  const owned = [...user.memberships].filter(([, role]) => role === 'owner').map(([tenantId]) => tenantId)
  return { OR: [{ userId: user.userId }, { tenantId: { in: owned } }] }
}

/** A token must not outlive or outdo the one that made it: only sessions and unbound `admin` tokens make tokens. */
function requireMaker(actor: Actor, input: NewToken) {
  const user = requireUser(actor)
  requireUnbound(user)
  if (input.tenantId !== undefined) requireTenant(actor, input.tenantId, 'viewer')
  if (input.scopes.includes('admin') && (user.platformRole !== 'admin' || input.tenantId !== undefined))
    throw new AppError('FORBIDDEN', 'Only an administrator makes tokens with the scope "admin", bound to no tenant.')
  return user
}

function requireUnbound(user: ReturnType<typeof requireUser>): void {
  if (user.token === null || (user.token.tenantId === null && user.token.scopes.includes('admin'))) return
  throw new AppError('FORBIDDEN', 'This API token may not manage tokens; sign in to do that.')
}

function checkCidrs(cidrs: readonly string[]): void {
  const errors = cidrs.flatMap((cidr, index) => {
    try {
      parseCidr(cidr)
      return []
    } catch (error) {
      if (!(error instanceof CidrError)) throw error
      return [{ field: `allowedCidrs.${index}`, detail: 'must be an address or CIDR such as 192.0.2.0/24' }]
    }
  })
  if (errors.length > 0)
    throw new AppError('INVALID_INPUT', 'allowedCidrs has an entry that cannot be used.', { errors })
}

function futureTime(text: string | null): Date | null {
  if (text === null) return null
  const time = new Date(text)
  if (time > new Date()) return time
  throw new AppError('INVALID_INPUT', 'expiresAt must lie in the future.', {
    errors: [{ field: 'expiresAt', detail: 'must lie in the future' }],
  })
}

function tokenEvent(actor: Actor, row: ApiToken, action: string) {
  return { actor: actorName(actor), tenantId: row.tenantId, action, subjectId: row.id, subjectName: row.name }
}

function tokenView(row: ApiToken): TokenView {
  return {
    id: row.id,
    name: row.name,
    prefix: row.prefix,
    userId: row.userId,
    tenantId: row.tenantId,
    scopes: row.scopes as TokenView['scopes'],
    allowedCidrs: row.allowedCidrs,
    expiresAt: row.expiresAt?.toISOString() ?? null,
    lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
    revokedAt: row.revokedAt?.toISOString() ?? null,
    createdAt: row.createdAt.toISOString(),
  }
}
