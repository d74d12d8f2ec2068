import { type Actor, actorName, requireTenant, requireUser, tenantOfCreate, visibleTenants } from '../auth/access.ts'
import { type Db, hint, type Tx, write } from '../db.ts'
import { AppError, notFound } from '../errors.ts'
import { recordEvent } from '../events/record.ts'
import { type Paged, paged, type WriteOptions } from '../schema.ts'
import { mayChange } from './access.ts'
import type { Checker } from './check.ts'
import {
  type DomainRow,
  deleteDomain,
  ensureDomain,
  findDomain,
  listDomains,
  lockRegistrable,
  setDomainCheck,
  tenantState,
} from './domain-store.ts'
import { claimableName } from './name-rules.ts'
import type { DomainCreate, DomainQuery, DomainView } from './schema.ts'
import { domainViews } from './view.ts'

/** What the domains service needs. */
export type DomainServiceDeps = {
  readonly db: Db
  readonly checker: Checker
  /** The installation's own names, in stored form. */
  readonly reservedNames: readonly string[]
}

/** Domains: names whose ownership a tenant claims. All methods throw `AppError` and check access first. */
export type DomainService = ReturnType<typeof createDomainService>

/** Makes the service. */
export function createDomainService({ db, checker, reservedNames }: DomainServiceDeps) {
  return {
    async list(actor: Actor, query: DomainQuery): Promise<Paged<DomainView>> {
      const page = paged(await listDomains(db, visibleTenants(actor), query), query, (row) => row)
      return { items: await domainViews(db, page.items), nextCursor: page.nextCursor }
    },

    async get(actor: Actor, id: string): Promise<DomainView> {
      return viewOf(db, await accessible(db, actor, id, 'viewer'))
    },

    /** Claims the registrable domain of a name, before any hostname under it is added. */
    async create(actor: Actor, input: DomainCreate, options: WriteOptions): Promise<DomainView> {
      const tenantId = tenantOfCreate(actor, input.tenantId)
      requireTenant(actor, tenantId, 'member')
      const { registrable } = claimableName(input.name, reservedNames)
      return write(db, options, async (tx) => {
        const state = await tenantState(tx, tenantId)
        if (state === null) throw notFound('tenant')
        mayChange(actor, state)
        const { row, isNew } = await ensureDomain(tx, tenantId, registrable)
        const detail = `"${registrable}" is in your list of domains already.`
        if (!isNew) throw new AppError('NAME_EXISTS', detail, { errors: [{ field: 'name', detail }] })
        await setDomainCheck(tx, row.id, new Date())
        await changed(tx, actor, row, 'domain.created')
        await hint(tx, 'domains')
        return viewOf(tx, row)
      })
    },

    /** Looks for the domain's own record now. */
    async check(actor: Actor, id: string): Promise<DomainView> {
      await accessible(db, actor, id, 'member')
      await checker.checkNow(id, [], true)
      const row = await findDomain(db, id)
      if (row === null) throw notFound('domain')
      return viewOf(db, row)
    },

    async remove(actor: Actor, id: string, options: WriteOptions): Promise<void> {
      const seen = await accessible(db, actor, id, 'member')
      await write(db, options, async (tx) => {
        await lockRegistrable(tx, seen.name)
        const row = await findDomain(tx, id)
        if (row === null) throw notFound('domain')
        if (row._count.hostnames > 0)
          throw new AppError(
            'IN_USE',
            `There are ${row._count.hostnames} hostnames under "${row.name}". Remove them first.`,
          )
        await deleteDomain(tx, id)
        await changed(tx, actor, row, 'domain.deleted')
      })
    },
  }
}

async function accessible(db: Db, actor: Actor, id: string, role: 'viewer' | 'member'): Promise<DomainRow> {
  if (actor.kind !== 'system') requireUser(actor)
  const row = await findDomain(db, id)
  if (row === null) throw notFound('domain')
  requireTenant(actor, row.tenantId, role, 'domain')
  return row
}

async function viewOf(db: Db | Tx, row: DomainRow): Promise<DomainView> {
  const [shown] = await domainViews(db, [row])
  if (shown === undefined) throw notFound('domain')
  return shown
}

async function changed(tx: Tx, actor: Actor, row: DomainRow, action: string): Promise<void> {
  await recordEvent(tx, {
    actor: actorName(actor),
    tenantId: row.tenantId,
    action,
    subjectId: row.id,
    subjectName: row.name,
  })
}
