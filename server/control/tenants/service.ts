import { type Actor, actorName, requireAdmin, requireTenant, visibleTenants } from '../auth/access.ts'
import { type Db, isForeignKeyViolation, isUniqueViolation, type Tx, write } from '../db.ts'
import { AppError, notFound } from '../errors.ts'
import { recordEvent } from '../events/record.ts'
import { requireIssuers } from '../known-issuers.ts'
import { type Paged, pageArguments, paged, type WriteOptions } from '../schema.ts'
import type { NewTenant, TenantChange, TenantQuery, TenantView } from './schema.ts'
import { deleteTenant, insertTenant, lockTenant, type TenantRow, tenantInclude, updateTenant } from './store.ts'

/** Tenants: their people see them, platform admins make and change them. */
export type TenantService = {
  list(actor: Actor, query: TenantQuery): Promise<Paged<TenantView>>
  get(actor: Actor, id: string): Promise<TenantView>
  create(actor: Actor, input: NewTenant, options: WriteOptions): Promise<TenantView>
  /** Throws CONFLICT for a taken name and for suspending the platform's own tenant. */
  change(actor: Actor, id: string, input: TenantChange, options: WriteOptions): Promise<TenantView>
  /** Throws IN_USE while the tenant has sites or hostnames, so that nothing that is served ends unasked. */
  remove(actor: Actor, id: string, options: WriteOptions): Promise<void>
}

/** Makes the service. */
export function createTenantService(db: Db): TenantService {
  const find = async (id: string): Promise<TenantRow> => {
    const row = await db.tenant.findUnique({ where: { id }, include: tenantInclude })
    if (row === null) throw notFound('tenant')
    return row
  }
  return {
    async list(actor, query) {
      const seen = visibleTenants(actor)
      const rows = await db.tenant.findMany({
        where: {
          ...(seen === 'all' ? {} : { id: { in: [...seen] } }),
          ...(query.q === undefined ? {} : { name: { contains: query.q, mode: 'insensitive' } }),
        },
        include: tenantInclude,
        ...pageArguments(query),
      })
      return paged(rows, query, tenantView)
    },
    async get(actor, id) {
      requireTenant(actor, id, 'viewer')
      return tenantView(await find(id))
    },
    async create(actor, input, options) {
      requireAdmin(actor)
      return saveTenant(db, options, async (tx) => {
        const row = await insertTenant(tx, { name: input.name, planId: input.planId ?? null })
        await recordEvent(tx, tenantEvent(actor, row, 'tenant.created'))
        return row
      })
    },
    async change(actor, id, input, options) {
      requireAdmin(actor)
      const before = await find(id)
      if (before.isSystem && input.state === 'suspended')
        throw new AppError('CONFLICT', "This is the platform's own tenant, which serves the panel.")
      return saveTenant(db, options, async (tx) => {
        await requireIssuers(tx, input.issuerIds)
        const row = await updateTenant(tx, id, input)
        const action = row.state === before.state ? 'changed' : row.state === 'suspended' ? 'suspended' : 'resumed'
        await recordEvent(tx, tenantEvent(actor, row, `tenant.${action}`))
        return row
      })
    },
    async remove(actor, id, options) {
      requireAdmin(actor)
      const row = await find(id)
      if (row.isSystem) throw new AppError('CONFLICT', "This is the platform's own tenant, which serves the panel.")
      await write(db, options, async (tx) => {
        await lockTenant(tx, id)
        await requireUnused(tx, id)
        await deleteTenant(tx, id)
        await recordEvent(tx, { ...tenantEvent(actor, row, 'tenant.deleted'), tenantId: null })
      })
    },
  }
}

async function requireUnused(tx: Tx, tenantId: string): Promise<void> {
  const sites = await tx.site.count({ where: { tenantId } })
  const hostnames = await tx.hostname.count({ where: { tenantId } })
  if (sites + hostnames === 0) return
  throw new AppError('IN_USE', `This tenant still has ${sites} sites and ${hostnames} names; delete those first.`)
}

async function saveTenant(db: Db, options: WriteOptions, work: (tx: Tx) => Promise<TenantRow>): Promise<TenantView> {
  try {
    return tenantView(await write(db, options, work))
  } catch (error) {
    if (isUniqueViolation(error)) throw new AppError('CONFLICT', 'There is a tenant of this name already.')
    if (isForeignKeyViolation(error))
      throw new AppError('INVALID_INPUT', 'There is no such plan.', {
        errors: [{ field: 'planId', detail: 'is not the id of a plan' }],
      })
    throw error
  }
}

function tenantEvent(actor: Actor, row: TenantRow, action: string) {
  return { actor: actorName(actor), tenantId: row.id, action, subjectId: row.id, subjectName: row.name }
}

function tenantView(row: TenantRow): TenantView {
  return {
    id: row.id,
    name: row.name,
    planId: row.planId,
    planName: row.plan?.name ?? null,
    issuerIds: row.issuerIds,
    state: row.state,
    isSystem: row.isSystem,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  }
}
