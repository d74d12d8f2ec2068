import { call, type Filter } from '#lib/api/client.ts'
import type { ListPage } from '#lib/api/listing.svelte.ts'
import type { UserView } from '#server/control/auth/schema.ts'
import type { PlanView } from '#server/control/plans/schema.ts'
import type {
  MemberView,
  NewMember,
  NewTenant,
  TenantChange,
  TenantQuery,
  TenantView,
} from '#server/control/tenants/schema.ts'
import type { NewUser } from '#server/control/users/schema.ts'

export type { PlanView } from '#server/control/plans/schema.ts'
export type { MemberView, TenantView } from '#server/control/tenants/schema.ts'

/** A role within a tenant. */
export type Role = MemberView['role']

/** A page of the tenants that the person may see. */
export function listTenants(query: Filter<TenantQuery>, signal?: AbortSignal): Promise<ListPage<TenantView>> {
  return call('GET', '/tenants', { query, signal })
}

/** One tenant. */
export function getTenant(id: string, signal?: AbortSignal): Promise<TenantView> {
  return call('GET', `/tenants/${id}`, { signal })
}

/** Makes a tenant. */
export function createTenant(body: NewTenant): Promise<TenantView> {
  return call('POST', '/tenants', { body })
}

/** Renames, suspends or resumes a tenant, or changes its plan. */
export function changeTenant(id: string, body: TenantChange): Promise<TenantView> {
  return call('PATCH', `/tenants/${id}`, { body })
}

/** Removes a tenant that has nothing any more. */
export function deleteTenant(id: string): Promise<void> {
  return call('DELETE', `/tenants/${id}`)
}

/** A page of a tenant's people. */
export function listMembers(tenantId: string, cursor?: string, signal?: AbortSignal): Promise<ListPage<MemberView>> {
  return call('GET', `/tenants/${tenantId}/members`, { query: { cursor }, signal })
}

/** Adds somebody who has an account. */
export function addMember(tenantId: string, body: NewMember): Promise<MemberView> {
  return call('POST', `/tenants/${tenantId}/members`, { body })
}

/** Changes somebody's role. */
export function changeMember(tenantId: string, userId: string, role: Role): Promise<MemberView> {
  return call('PATCH', `/tenants/${tenantId}/members/${userId}`, { body: { role } })
}

/** Takes somebody out of a tenant. */
export function removeMember(tenantId: string, userId: string): Promise<void> {
  return call('DELETE', `/tenants/${tenantId}/members/${userId}`)
}

/** Makes an account. */
export function createUser(body: NewUser): Promise<UserView> {
  return call('POST', '/users', { body })
}

/** The plans that a tenant may have. */
export function listPlans(signal?: AbortSignal): Promise<ListPage<PlanView>> {
  return call('GET', '/plans', { query: { limit: 200 }, signal })
}
