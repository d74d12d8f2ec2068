import { domainToASCII } from 'node:url'
import type { Db, Tx } from '../db.ts'
import { Prisma } from '../generated/client.ts'
import { pageArguments } from '../schema.ts'
import type { HostnameQuery } from './schema.ts'

/** Unproven claims of one domain that are settled in one transaction; the rest follow with their own checks. */
const SETTLE_LIMIT = 500

const withRelations = {
  domain: { select: { name: true, token: true } },
  certificate: {
    select: {
      id: true,
      state: true,
      problem: true,
      activeVersion: { select: { fingerprint: true, notAfter: true, names: true } },
    },
  },
  probe: true,
} as const satisfies Prisma.HostnameInclude

/** A hostname with its domain's token and what is shown of its certificate. */
export type HostnameRow = Prisma.HostnameGetPayload<{ include: typeof withRelations }>

/** Why the last check found no proof, as it is stored. `isSlow`: it took long to find out. */
export type StoredProblem = { readonly code: string; readonly detail: string; readonly isSlow?: boolean }

/** A new claim. */
export type NewHostname = {
  readonly tenantId: string
  readonly domainId: string
  readonly siteId: string
  readonly name: string
}

/** One hostname, or null. */
export function findHostname(db: Db | Tx, id: string): Promise<HostnameRow | null> {
  return db.hostname.findUnique({ where: { id }, include: withRelations })
}

/** The tenant's own hostname of that name, or null. */
export function findHostnameByName(tx: Tx, tenantId: string, name: string): Promise<HostnameRow | null> {
  return tx.hostname.findUnique({ where: { tenantId_name: { tenantId, name } }, include: withRelations })
}

/** A page of the hostnames of some tenants, one row more than is shown. */
export function listHostnames(
  db: Db | Tx,
  tenants: 'all' | readonly string[],
  query: HostnameQuery,
): Promise<HostnameRow[]> {
  const { tenantId, siteId, domainId, state, q } = query
  const where: Prisma.HostnameWhereInput = {
    AND: [
      tenants === 'all' ? {} : { tenantId: { in: [...tenants] } },
      tenantId === undefined ? {} : { tenantId },
      siteId === undefined ? {} : { siteId },
      domainId === undefined ? {} : { domainId },
      state === undefined ? {} : { ownershipState: state },
      q === undefined ? {} : { name: { contains: searchText(q) } },
    ],
  }
  return db.hostname.findMany({ where, include: withRelations, ...pageArguments(query) })
}

/** The part of a name that a person typed, as names are stored. */
function searchText(text: string): string {
  const lower = text.trim().toLowerCase()
  return domainToASCII(lower) || lower
}

/** How many hostnames a tenant has. */
export function countHostnames(tx: Tx, tenantId: string): Promise<number> {
  return tx.hostname.count({ where: { tenantId } })
}

/** The site with its tenant, or null. */
export function findSite(db: Db | Tx, id: string) {
  return db.site.findUnique({
    where: { id },
    select: { id: true, tenantId: true, tenant: { select: { state: true } } },
  })
}

/** Inserts a claim that is due for its first check. A name the tenant has already violates the unique index. */
export async function insertHostname(tx: Tx, hostname: NewHostname, now: Date): Promise<string> {
  const row = await tx.hostname.create({ data: { ...hostname, checkDueAt: now, createdAt: now } })
  return row.id
}

/** Points a hostname at another site of its tenant. */
export async function setHostnameSite(tx: Tx, id: string, siteId: string): Promise<void> {
  await tx.hostname.update({ where: { id }, data: { siteId } })
}

/** Removes a hostname. */
export async function deleteHostname(tx: Tx, id: string): Promise<void> {
  await tx.hostname.delete({ where: { id } })
}

/** The domain's hostnames with these ids. */
export function hostnamesOf(db: Db | Tx, domainId: string, ids: readonly string[]) {
  return db.hostname.findMany({ where: { domainId, id: { in: [...ids] } } })
}

/** Claims of a domain that are not verified, oldest first. */
export function openClaims(tx: Tx, domainId: string) {
  return tx.hostname.findMany({
    where: { domainId, ownershipState: { not: 'verified' } },
    orderBy: { id: 'asc' },
    take: SETTLE_LIMIT,
  })
}

/** Other tenants' rows of these names that are verified or lapsed. */
export function hostnameHolders(tx: Tx, tenantId: string, names: readonly string[]) {
  return tx.hostname.findMany({
    where: { name: { in: [...names] }, tenantId: { not: tenantId }, ownershipState: { in: ['verified', 'lapsed'] } },
    select: { id: true, tenantId: true, name: true, ownershipState: true, certificateId: true },
  })
}

/** Whether another tenant has proven exactly this name and has not let it lapse. */
export async function isProvenElsewhere(tx: Tx, tenantId: string, name: string): Promise<boolean> {
  const where = { name, tenantId: { not: tenantId }, ownershipState: 'verified' } as const
  return (await tx.hostname.count({ where })) > 0
}

/** What a check leaves on a hostname. */
export type CheckOutcome = Pick<
  Prisma.HostnameUncheckedUpdateInput,
  'ownershipState' | 'verifiedAt' | 'checkedAt' | 'checkDueAt' | 'checkFailures' | 'certificateId'
> & { readonly problem: StoredProblem | null }

/** Writes what a check left. A problem of null clears the one before. */
export async function saveOutcome(tx: Tx, id: string, outcome: CheckOutcome): Promise<void> {
  const { problem, ...columns } = outcome
  await tx.hostname.update({
    where: { id },
    data: { ...columns, checkProblem: problem === null ? Prisma.DbNull : { ...problem } },
  })
}

/** Sets claims verified that a proof covers. Another tenant's verified row of such a name violates the unique index. */
export async function saveVerified(tx: Tx, ids: readonly string[], now: Date, nextCheck: Date): Promise<void> {
  await tx.hostname.updateMany({
    where: { id: { in: [...ids] } },
    data: {
      ownershipState: 'verified',
      verifiedAt: now,
      checkedAt: now,
      checkDueAt: nextCheck,
      checkFailures: 0,
      checkProblem: Prisma.DbNull,
    },
  })
}

/** Keeps that the proof of verified hostnames was seen again. */
export async function saveSeen(tx: Tx, ids: readonly string[], now: Date, nextCheck: Date): Promise<void> {
  await tx.hostname.updateMany({
    where: { id: { in: [...ids] } },
    data: { checkedAt: now, checkDueAt: nextCheck, checkFailures: 0, checkProblem: Prisma.DbNull },
  })
}
