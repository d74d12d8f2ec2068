import { randomUUIDv7 } from 'node:crypto'
import type { Reach } from '../../contract/reach.ts'
import { type Actor, actorName, requireAdmin, requireTenant, tenantOfCreate, visibleTenants } from '../auth/access.ts'
import { type Db, hint, isForeignKeyViolation, isUniqueViolation, type Tx, write } from '../db.ts'
import { AppError, notFound } from '../errors.ts'
import { recordEvent } from '../events/record.ts'
import { type Paged, paged, type WriteOptions } from '../schema.ts'
import { planLimits } from '../tenants/limits.ts'
import type { Vault } from '../vault.ts'
import type { Ask } from './ask.ts'
import { checkConfig, checkSecret, checkZones, invalid, leadsElsewhere } from './config.ts'
import { secretContext } from './open-provider.ts'
import { zoneOf } from './provider.ts'
import { openNames } from './record-store.ts'
import type { DnsRecords } from './records.ts'
import type {
  DnsProviderChangeInput,
  DnsProviderListFilter,
  DnsProviderRemoveOptions,
  DnsProviderTestResult,
  DnsProviderView,
  NewDnsProviderInput,
  ProviderConfig,
} from './schema.ts'
import * as store from './store.ts'
import { tryOut } from './try-out.ts'

/** Providers that one tenant, or the platform, may have. */
const MAX_PROVIDERS = 20

/** What the service needs. */
export type DnsProviderServiceDeps = {
  readonly db: Db
  readonly vault: Vault
  readonly reach: Reach
  readonly records: DnsRecords
  readonly ask: Ask
  /** Called in the transaction of a new or changed provider: what waited for one is tried. */
  readonly wake?: (tx: Tx, tenantId: string | null) => Promise<void>
}

/**
 * DNS providers: where records for dns-01 are written. A tenant's belong to its members; the platform's
 * (no tenant), and hooks with them, to platform admins. All methods throw `AppError` and check access first.
 */
export type DnsProviderService = ReturnType<typeof createDnsProviderService>

/** Makes the service. */
export function createDnsProviderService({ db, vault, reach, records, ask, wake }: DnsProviderServiceDeps) {
  return {
    async list(actor: Actor, filter: DnsProviderListFilter): Promise<Paged<DnsProviderView>> {
      const tenants = visibleTenants(actor)
      return paged(await store.listProviders(db, tenants, filter), filter, viewOf)
    },

    async get(actor: Actor, id: string): Promise<DnsProviderView> {
      return viewOf(await accessible(db, actor, id, 'viewer'))
    },

    async create(actor: Actor, input: NewDnsProviderInput, options: WriteOptions): Promise<DnsProviderView> {
      const tenantId = input.tenantId === null ? null : tenantOfCreate(actor, input.tenantId)
      requireAccess(actor, tenantId, 'member')
      const { kind } = input
      if (kind === 'hook' && tenantId !== null)
        throw invalid('kind', 'a hook runs a program on our machine: only the platform may have one (tenantId null)')
      const config = checkConfig(kind, input.config ?? {}, reach)
      const secret = checkSecret(kind, input.secret)
      const zones = checkZones(input.zones)
      const id = randomUUIDv7()
      return write(db, options, async (tx) => {
        await checkPlace(tx, tenantId)
        const secretSealed = secret === null ? null : vault.seal(secret, secretContext(id))
        const row = await store
          .insertProvider(tx, { id, tenantId, kind, name: input.name, config, secretSealed, zones })
          .catch(explain)
        await wake?.(tx, tenantId)
        await changed(tx, actor, row, 'created', { kind, zones })
        return viewOf(row)
      })
    },

    async change(
      actor: Actor,
      id: string,
      input: DnsProviderChangeInput,
      options: WriteOptions,
    ): Promise<DnsProviderView> {
      await accessible(db, actor, id, 'member')
      return write(db, options, async (tx) => {
        const row = present(await store.lockProvider(tx, id))
        const data = changedColumns(row, input, { vault, reach })
        if (data.zones !== undefined) await refuseOpen(tx, row, data.zones)
        const after = await store.updateProvider(tx, id, data).catch(explain)
        await wake?.(tx, row.tenantId)
        await changed(tx, actor, after, 'changed', { fields: Object.keys(input) })
        return viewOf(after)
      })
    },

    async remove(actor: Actor, id: string, options: DnsProviderRemoveOptions): Promise<void> {
      await accessible(db, actor, id, 'member')
      await write(db, options, async (tx) => {
        const row = present(await store.lockProvider(tx, id))
        if (options.force !== true) await refuseOpen(tx, row, [])
        await store.deleteProvider(tx, id)
        await changed(tx, actor, row, 'deleted', {})
      })
    },

    /** Writes, looks for and removes a record in one zone. What the provider says is the answer, not an error. */
    async test(actor: Actor, id: string, zone: string | undefined): Promise<DnsProviderTestResult> {
      const row = await accessible(db, actor, id, 'member')
      const [first = ''] = row.zones
      const [chosen = first] = zone === undefined ? [] : checkZones([zone])
      if (!row.zones.includes(chosen)) throw invalid('zone', 'is none of the zones of this provider')
      const result = await tryOut({ records, ask, db }, row, chosen)
      await write(db, {}, (tx) => changed(tx, actor, row, 'tested', { zone: chosen, ok: result.ok }))
      return result
    },
  }
}

/** The columns that a change sets. Throws INVALID_INPUT. */
function changedColumns(
  row: store.ProviderRow,
  input: DnsProviderChangeInput,
  { vault, reach }: { readonly vault: Vault; readonly reach: Reach },
): Partial<store.ProviderColumns> {
  const { id, kind } = row
  const columns: { -readonly [Column in keyof store.ProviderColumns]?: store.ProviderColumns[Column] } = {}
  if (input.name !== undefined) columns.name = input.name
  if (input.zones !== undefined) columns.zones = checkZones(input.zones)
  if (input.config !== undefined) columns.config = checkConfig(kind, input.config, reach)
  const isElsewhere = columns.config !== undefined && leadsElsewhere(row.config as ProviderConfig, columns.config)
  if (isElsewhere && row.secretSealed !== null && input.secret === undefined)
    throw invalid('secret', 'has to be given again, since it would be used at another place')
  const secret = input.secret === undefined ? null : checkSecret(kind, input.secret)
  if (secret !== null) columns.secretSealed = vault.seal(secret, secretContext(id))
  return columns
}

/** Null: the platform's, which only its people see and only its admins change. */
function requireAccess(actor: Actor, tenantId: string | null, role: 'viewer' | 'member'): void {
  if (tenantId === null) requireAdmin(actor, role === 'viewer' ? 'read' : 'write')
  else requireTenant(actor, tenantId, role, 'DNS provider')
}

async function accessible(db: Db, actor: Actor, id: string, role: 'viewer' | 'member'): Promise<store.ProviderRow> {
  const tenants = visibleTenants(actor)
  const row = present(await store.findProvider(db, id))
  // To a tenant's people the platform's own look as if they were not there.
  if (row.tenantId === null && tenants !== 'all') throw notFound('DNS provider')
  requireAccess(actor, row.tenantId, role)
  return row
}

/** `planLimits` locks the tenant, so of two that take the last place at once one waits and is refused. */
async function checkPlace(tx: Tx, tenantId: string | null): Promise<void> {
  if (tenantId !== null) await planLimits(tx, tenantId)
  if ((await store.countProviders(tx, tenantId)) < MAX_PROVIDERS) return
  throw new AppError('LIMIT_REACHED', `There are ${MAX_PROVIDERS} DNS providers already. Delete one first.`)
}

/** Records that were made in zones that it would not control any more could never be removed. */
async function refuseOpen(tx: Tx, row: store.ProviderRow, zones: readonly string[]): Promise<void> {
  const stranded = (await openNames(tx, row.id)).filter((fqdn) => zoneOf(zones, fqdn) === null)
  if (stranded.length === 0) return
  const [first] = stranded
  const more = stranded.length === 1 ? '' : ` and ${stranded.length - 1} more`
  throw new AppError(
    'IN_USE',
    `It still has a record at ${first}${more}. Wait until it is removed, or remove it yourself and delete with ?force=true.`,
  )
}

function present(row: store.ProviderRow | null): store.ProviderRow {
  if (row === null) throw notFound('DNS provider')
  return row
}

function explain(error: unknown): never {
  if (isUniqueViolation(error))
    throw new AppError('CONFLICT', 'There is a DNS provider of this name already.', { cause: error })
  if (isForeignKeyViolation(error)) throw notFound('tenant')
  throw error
}

async function changed(
  tx: Tx,
  actor: Actor,
  row: store.ProviderRow,
  what: 'created' | 'changed' | 'deleted' | 'tested',
  detail: Readonly<Record<string, string | boolean | string[]>>,
): Promise<void> {
  if (what !== 'tested') await hint(tx, 'certificates')
  await recordEvent(tx, {
    actor: actorName(actor),
    tenantId: row.tenantId,
    action: `dns-provider.${what}`,
    subjectId: row.id,
    subjectName: row.name,
    detail,
  })
}

function viewOf(row: store.ProviderRow): DnsProviderView {
  return {
    id: row.id,
    tenantId: row.tenantId,
    name: row.name,
    kind: row.kind,
    config: row.config as ProviderConfig,
    hasSecret: row.secretSealed !== null,
    zones: [...row.zones],
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  }
}
