import type { Db, Tx } from '../db.ts'
import type { Prisma } from '../generated/client.ts'
import { pageArguments } from '../schema.ts'
import type { StoredProvider } from './open-provider.ts'
import type { DnsProviderListFilter, ProviderConfig, ProviderKind } from './schema.ts'

/** The only writer of the table `dns_provider`. */

/** A provider as it is stored. */
export type ProviderRow = StoredProvider & {
  readonly name: string
  readonly createdAt: Date
  readonly updatedAt: Date
}

/** Columns of a provider that may be set. */
export type ProviderColumns = {
  readonly name: string
  readonly config: ProviderConfig
  readonly secretSealed: Uint8Array<ArrayBuffer> | null
  readonly zones: string[]
}

/** A provider by id, or null. */
export function findProvider(db: Db | Tx, id: string): Promise<ProviderRow | null> {
  return db.dnsProvider.findUnique({ where: { id } })
}

/** Like `findProvider`, and nobody else changes it until `tx` ends. */
export async function lockProvider(tx: Tx, id: string): Promise<ProviderRow | null> {
  await tx.$queryRaw`select 1 from dns_provider where id = ${id}::uuid for update`
  return findProvider(tx, id)
}

/** A page of all providers, the platform's among them, or of those of these tenants. */
export function listProviders(
  db: Db,
  tenants: 'all' | readonly string[],
  filter: DnsProviderListFilter,
): Promise<ProviderRow[]> {
  const where: Prisma.DnsProviderWhereInput = {
    ...(tenants === 'all' ? {} : { tenantId: { in: [...tenants] } }),
    ...(filter.tenantId === undefined ? {} : { AND: { tenantId: filter.tenantId } }),
  }
  return db.dnsProvider.findMany({ where, ...pageArguments(filter) })
}

/** What may write records for a tenant: its own providers and the platform's. */
export function providersFor(db: Db | Tx, tenantId: string): Promise<ProviderRow[]> {
  return db.dnsProvider.findMany({ where: { OR: [{ tenantId }, { tenantId: null }] }, orderBy: { id: 'asc' } })
}

/** How many a tenant (null: the platform) has. */
export function countProviders(tx: Tx, tenantId: string | null): Promise<number> {
  return tx.dnsProvider.count({ where: { tenantId } })
}

/** Adds a provider. Unique violation: the name is taken. Foreign key: no such tenant. */
export function insertProvider(
  tx: Tx,
  data: ProviderColumns & { readonly id: string; readonly tenantId: string | null; readonly kind: ProviderKind },
): Promise<ProviderRow> {
  return tx.dnsProvider.create({ data })
}

/** Changes a provider. Unique violation: the name is taken. */
export function updateProvider(tx: Tx, id: string, data: Partial<ProviderColumns>): Promise<ProviderRow> {
  return tx.dnsProvider.update({ where: { id }, data })
}

/** Removes a provider and the rows of its records. */
export async function deleteProvider(tx: Tx, id: string): Promise<void> {
  await tx.dnsProvider.delete({ where: { id } })
}
