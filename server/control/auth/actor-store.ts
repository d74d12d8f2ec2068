import type { Db } from '../db.ts'
import { Prisma } from '../generated/client.ts'
import type { MemberRole } from './access.ts'

/** A person who may act at this moment, as one query reads it: it is asked for with every request. */
export type ActorRow = {
  readonly userId: string
  readonly email: string
  readonly platformRole: 'admin' | 'support' | null
  readonly memberships: readonly { tenantId: string; role: MemberRole; state: 'active' | 'suspended' }[]
}

/** What an API token adds to its person. */
export type TokenRow = ActorRow & {
  readonly tokenId: string
  readonly tenantId: string | null
  readonly scopes: readonly string[]
  readonly allowedCidrs: readonly string[]
  readonly lastUsedAt: Date | null
}

const person = Prisma.sql`
  u.id::text as "userId", u.email, u.platform_role::text as "platformRole",
  coalesce((select jsonb_agg(jsonb_build_object('tenantId', m.tenant_id, 'role', m.role, 'state', t.state))
    from membership m join tenant t on t.id = m.tenant_id where m.user_id = u.id), '[]') as memberships`

/** Whose session this is, when it has neither ended nor been revoked and the user is not disabled; else null. */
export async function findSessionActor(db: Db, sessionId: string, userId: string): Promise<ActorRow | null> {
  const [row] = await db.$queryRaw<ActorRow[]>`
    select ${person} from session s join "user" u on u.id = s.user_id
    where s.id = ${sessionId}::uuid and s.user_id = ${userId}::uuid
      and s.revoked_at is null and s.expires_at > now() and u.disabled_at is null`
  return row ?? null
}

/** Whose token this is, when it has neither expired nor been revoked and the user is not disabled; else null. */
export async function findTokenActor(db: Db, hash: Uint8Array<ArrayBuffer>): Promise<TokenRow | null> {
  const [row] = await db.$queryRaw<TokenRow[]>`
    select ${person}, k.id::text as "tokenId", k.tenant_id::text as "tenantId", k.scopes,
      k.allowed_cidrs as "allowedCidrs", k.last_used_at as "lastUsedAt"
    from api_token k join "user" u on u.id = k.user_id
    where k.hash = ${hash} and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
      and u.disabled_at is null`
  return row ?? null
}
