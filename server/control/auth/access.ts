import { AppError, notFound } from '../errors.ts'

/** Role of a member within a tenant, weakest first. */
export const memberRoles = ['viewer', 'member', 'owner'] as const

/** One of `memberRoles`: a viewer reads, a member changes what is served, an owner also people and tokens. */
export type MemberRole = (typeof memberRoles)[number]

/** Who makes a call. Made once per request by the API, or by the system itself. */
export type Actor =
  | { readonly kind: 'guest' }
  | { readonly kind: 'system' }
  | {
      readonly kind: 'user'
      readonly userId: string
      readonly email: string
      readonly platformRole: 'admin' | 'support' | null
      readonly memberships: ReadonlyMap<string, MemberRole>
      /** Those of `memberships` that are suspended: their people may look, not change. */
      readonly suspended?: ReadonlySet<string>
      /** Set when the call came with an API token; it can never do more than its user. */
      readonly token: {
        readonly id: string
        readonly tenantId: string | null
        readonly scopes: readonly string[]
      } | null
    }

/** The nobody that every request starts as. */
export const guest: Actor = { kind: 'guest' }

/** Nameplate itself: loops, seeds. Never made from a request. */
export const system: Actor = { kind: 'system' }

/** What a call wants to do. */
export type Access = 'read' | 'write'

/** How an actor is written into the audit log. */
export function actorName(actor: Actor): string {
  if (actor.kind !== 'user') return actor.kind
  return actor.token === null ? `user:${actor.userId}` : `token:${actor.token.id}`
}

/** Refuses guests with UNAUTHENTICATED. */
export function requireUser(actor: Actor): Exclude<Actor, { kind: 'guest' | 'system' }> {
  if (actor.kind === 'user') return actor
  throw new AppError('UNAUTHENTICATED', 'Sign in, or send an API token as Authorization: Bearer.')
}

/**
 * The first line of each service method on a tenant's object. A platform admin may do all, support
 * may read; a member needs at least `role`. A stranger gets NOT_FOUND (`what` names the object), a
 * member with too small a role FORBIDDEN, a guest UNAUTHENTICATED.
 */
export function requireTenant(actor: Actor, tenantId: string, role: MemberRole, what = 'tenant'): void {
  if (actor.kind === 'system') return
  const user = requireUser(actor)
  const isRead = role === 'viewer'
  if (user.token !== null && user.token.tenantId !== null && user.token.tenantId !== tenantId) throw notFound(what)
  const memberRole = user.memberships.get(tenantId)
  const seesAll = user.platformRole !== null
  if (memberRole === undefined && !seesAll) throw notFound(what)
  requireScope(user, isRead ? 'read' : 'write')
  if (user.platformRole === 'admin' || (seesAll && isRead)) return
  if (!isRead && user.suspended?.has(tenantId) === true)
    throw new AppError('TENANT_SUSPENDED', 'It can be looked at, but not changed. Please ask your provider.')
  if (memberRole !== undefined && memberRoles.indexOf(memberRole) >= memberRoles.indexOf(role)) return
  throw new AppError('FORBIDDEN', `This needs the role "${role}" in this tenant.`)
}

/**
 * Refuses everybody but platform admins (and, for `read`, support). A token bound to a tenant is no
 * admin, and one that is to change something needs the scope `admin`.
 */
export function requireAdmin(actor: Actor, access: Access = 'write'): void {
  if (actor.kind === 'system') return
  const user = requireUser(actor)
  const isBound = user.token !== null && user.token.tenantId !== null
  const may = user.platformRole === 'admin' || (user.platformRole === 'support' && access === 'read')
  if (!may || isBound) throw new AppError('FORBIDDEN', 'Only an administrator of this installation may do this.')
  requireScope(user, access === 'read' ? 'read' : 'admin')
}

/**
 * The tenants whose objects a list may show: `all` for the platform's people, else the ids of the
 * caller's memberships, narrowed by a token that is bound to one.
 */
export function visibleTenants(actor: Actor): 'all' | readonly string[] {
  if (actor.kind === 'system') return 'all'
  const user = requireUser(actor)
  requireScope(user, 'read')
  const bound = user.token?.tenantId ?? null
  if (bound !== null) return user.platformRole !== null || user.memberships.has(bound) ? [bound] : []
  return user.platformRole !== null ? 'all' : [...user.memberships.keys()]
}

/**
 * The tenant of a new object: as given, or implied when the caller acts for exactly one. Platform
 * people and members of several must say it. Does not check the role: call `requireTenant` next.
 */
export function tenantOfCreate(actor: Actor, tenantId: string | undefined): string {
  if (tenantId !== undefined) return tenantId
  const user = requireUser(actor)
  if (user.token?.tenantId != null) return user.token.tenantId
  const [only, ...others] = user.memberships.keys()
  if (user.platformRole === null && only !== undefined && others.length === 0) return only
  throw new AppError('INVALID_INPUT', 'Say for which tenant: tenantId is needed, since you act for more than one.', {
    errors: [{ field: 'tenantId', detail: 'is required' }],
  })
}

/** Token scopes: `read`, `write` (implies read), `admin` (implies both). Sessions have all. */
function requireScope(user: Exclude<Actor, { kind: 'guest' | 'system' }>, needed: 'read' | 'write' | 'admin'): void {
  if (user.token === null) return
  const least = scopeOrder.indexOf(needed)
  if (user.token.scopes.some((scope) => scopeOrder.indexOf(scope) >= least)) return
  throw new AppError('FORBIDDEN', `This API token has no scope "${needed}".`)
}

const scopeOrder: readonly string[] = ['read', 'write', 'admin']
