import type { Db, Tx } from '../db.ts'
import type { Prisma } from '../generated/client.ts'
import { pageArguments } from '../schema.ts'
import type { AddressListFilter, AllocationInput } from './schema.ts'

/** The only writer of the table `address`. */

const addressInclude = { site: { select: { tenantId: true, name: true } } } as const satisfies Prisma.AddressInclude

/** An address with the tenant of its site. */
export type AddressRow = Prisma.AddressGetPayload<{ include: typeof addressInclude }>

/** See `Allocation`. */
type LegacyTls = NonNullable<AllocationInput['legacyTls']>

const legacyRows = { none: 'none', 'tls1.0': 'tls1_0', 'tls1.0-3des': 'tls1_0_3des' } as const

/** What may be said of a new address besides its text. */
export type AddressFields = {
  readonly use: 'shared' | 'dedicated'
  readonly pool: string | null
  readonly note: string | null
  readonly publicAddress: string | null
  readonly edgeId: string | null
}

/** An address by id, or null. */
export function findAddress(db: Db | Tx, id: string): Promise<AddressRow | null> {
  return db.address.findUnique({ where: { id }, include: addressInclude })
}

/** Like `findAddress`, and nobody else changes it until `tx` ends. */
export async function lockAddress(tx: Tx, id: string): Promise<AddressRow | null> {
  await tx.$queryRaw`select 1 from address where id = ${id}::uuid for update`
  return findAddress(tx, id)
}

/** A page of all addresses, or of those that are allocated to sites of these tenants. */
export function listAddresses(
  db: Db,
  tenants: 'all' | readonly string[],
  filter: AddressListFilter,
): Promise<AddressRow[]> {
  const { use, state, siteId, pool } = filter
  const where: Prisma.AddressWhereInput = {
    ...(tenants === 'all' ? {} : { site: { tenantId: { in: [...tenants] } } }),
    ...(use === undefined ? {} : { use }),
    ...(state === undefined ? {} : { state }),
    ...(siteId === undefined ? {} : { siteId }),
    ...(pool === undefined ? {} : { pool }),
  }
  return db.address.findMany({ where, include: addressInclude, ...pageArguments(filter) })
}

/** Which of these texts are there already. */
export async function findTexts(tx: Tx, addresses: readonly string[]): Promise<string[]> {
  const rows = await tx.address.findMany({ where: { address: { in: [...addresses] } }, select: { address: true } })
  return rows.map((row) => row.address)
}

/** New addresses, in the order given. Unique violation: one is there already. Foreign key: no such edge. */
export async function insertAddresses(
  tx: Tx,
  addresses: readonly string[],
  fields: AddressFields,
): Promise<AddressRow[]> {
  const data = addresses.map((address) => ({ address, ...fields }))
  const rows = await tx.address.createManyAndReturn({ data })
  const place = new Map(addresses.map((address, index) => [address, index]))
  rows.sort((a, b) => (place.get(a.address) ?? 0) - (place.get(b.address) ?? 0))
  return rows.map((row) => ({ ...row, site: null }))
}

/** Changes an address. Foreign-key violation: no such edge. */
export function updateAddress(
  tx: Tx,
  id: string,
  change: Partial<AddressFields> & { state?: 'free' | 'reserved' },
): Promise<AddressRow> {
  return tx.address.update({ where: { id }, data: change, include: addressInclude })
}

/** Gives a free dedicated address to a site, with the old clients that it is for, in one conditional statement: false when somebody was faster. */
export async function takeAddress(tx: Tx, id: string, siteId: string, legacyTls: LegacyTls): Promise<boolean> {
  const { count } = await tx.address.updateMany({
    where: { id, state: 'free', use: 'dedicated' },
    data: { state: 'allocated', siteId, legacyTls: legacyRows[legacyTls] },
  })
  return count === 1
}

/** Takes an address from its site. False when it had none. */
export async function freeAddress(tx: Tx, id: string): Promise<boolean> {
  const { count } = await tx.address.updateMany({
    where: { id, state: { in: ['allocated', 'draining'] } },
    data: { state: 'free', siteId: null, legacyTls: 'none' },
  })
  return count === 1
}

/** Removes an address. */
export async function deleteAddress(tx: Tx, id: string): Promise<void> {
  await tx.address.delete({ where: { id } })
}

/** The site that an address is to be given to, or null. */
export function findSiteForAddress(tx: Tx, id: string): Promise<{ id: string; tenantId: string; name: string } | null> {
  return tx.site.findUnique({ where: { id }, select: { id: true, tenantId: true, name: true } })
}

/** How many sites visitors reach by name: those with a proven hostname. */
export async function countServedSites(tx: Tx): Promise<number> {
  return tx.site.count({ where: { hostnames: { some: { ownershipState: 'verified' } } } })
}
