import { type Actor, visibleTenants } from '../auth/access.ts'
import type { EventView } from '../events/schema.ts'
import type { Event, Prisma } from '../generated/client.ts'

/** The events that an actor may see: those of its tenants; the platform's people see all. Throws as `visibleTenants`. */
export function visibleEvents(actor: Actor): Prisma.EventWhereInput {
  const tenants = visibleTenants(actor)
  return tenants === 'all' ? {} : { tenantId: { in: [...tenants] } }
}

/** The same rule for one event in hand. */
export function maySee(actor: Actor, event: { readonly tenantId: string | null }): boolean {
  const tenants = visibleTenants(actor)
  return tenants === 'all' || (event.tenantId !== null && tenants.includes(event.tenantId))
}

/** An event as the API shows it. */
export function eventView(row: Event): EventView {
  return {
    id: row.id.toString(),
    at: row.at.toISOString(),
    tenantId: row.tenantId,
    actor: row.actor,
    action: row.action,
    subjectId: row.subjectId,
    subjectName: row.subjectName,
    detail: row.detail,
  }
}
