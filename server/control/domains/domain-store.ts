import { randomBytes } from 'node:crypto'
import type { Db, Tx } from '../db.ts'
import type { Prisma } from '../generated/client.ts'
import type { OwnershipState, ProofMethod } from '../generated/enums.ts'
import { pageArguments } from '../schema.ts'
import type { DomainQuery } from './schema.ts'

/** 160 random bits, hex: DNS panels keep it as it is. */
const TOKEN_BYTES = 20

const withProofs = {
  proofs: { orderBy: { name: 'asc' } },
  _count: { select: { hostnames: true } },
} as const satisfies Prisma.DomainInclude

/** A domain with its proofs. */
export type DomainRow = Prisma.DomainGetPayload<{ include: typeof withProofs }>

/** A name that another tenant has proven by TXT. */
export type ForeignProof = { readonly name: string; readonly domainId: string; readonly tenantId: string }

/**
 * Makes all changes of ownership below one registrable domain one after the other, whoever makes them:
 * taken first in each such transaction, held to its end.
 */
export async function lockRegistrable(tx: Tx, name: string): Promise<void> {
  await tx.$executeRaw`select pg_advisory_xact_lock(hashtextextended(${`domain:${name}`}, 0))`
}

/** The tenant's domain of that name, made when it is not there yet. */
export async function ensureDomain(
  tx: Tx,
  tenantId: string,
  name: string,
): Promise<{ row: DomainRow; isNew: boolean }> {
  const token = randomBytes(TOKEN_BYTES).toString('hex')
  const made = await tx.domain.createMany({ data: [{ tenantId, name, token }], skipDuplicates: true })
  const row = await tx.domain.findUniqueOrThrow({
    where: { tenantId_name: { tenantId, name } },
    include: withProofs,
  })
  return { row, isNew: made.count === 1 }
}

/** Whether a tenant is active, or null when there is no such tenant. */
export async function tenantState(tx: Tx, tenantId: string): Promise<'active' | 'suspended' | null> {
  const row = await tx.tenant.findUnique({ where: { id: tenantId }, select: { state: true } })
  return row?.state ?? null
}

/** One domain, or null. */
export function findDomain(db: Db | Tx, id: string): Promise<DomainRow | null> {
  return db.domain.findUnique({ where: { id }, include: withProofs })
}

/** A page of the domains of some tenants, one row more than is shown. */
export function listDomains(db: Db, tenants: 'all' | readonly string[], query: DomainQuery): Promise<DomainRow[]> {
  const where: Prisma.DomainWhereInput = {
    AND: [
      tenants === 'all' ? {} : { tenantId: { in: [...tenants] } },
      query.tenantId === undefined ? {} : { tenantId: query.tenantId },
      query.q === undefined ? {} : { name: { contains: query.q } },
    ],
  }
  return db.domain.findMany({ where, include: withProofs, ...pageArguments(query) })
}

/** Removes a domain with its proofs. Its hostnames must be gone. */
export async function deleteDomain(tx: Tx, id: string): Promise<void> {
  await tx.domain.delete({ where: { id } })
}

/** Sets when the domain's own record is looked at next; null: only with its hostnames. */
export async function setDomainCheck(tx: Tx, id: string, dueAt: Date | null): Promise<void> {
  await tx.domain.update({ where: { id }, data: { checkDueAt: dueAt } })
}

/** Sets the state of a domain. */
export async function setDomainState(tx: Tx, id: string, state: OwnershipState): Promise<void> {
  await tx.domain.update({ where: { id }, data: { state } })
}

/** Other tenants' rows of the same domain that are verified or lapsed. */
export function domainHolders(tx: Tx, domain: { name: string; tenantId: string }) {
  return tx.domain.findMany({
    where: { name: domain.name, tenantId: { not: domain.tenantId }, state: { in: ['verified', 'lapsed'] } },
    select: { id: true, tenantId: true, name: true, state: true },
  })
}

/** What other tenants have proven by TXT within the same registrable domain, seen after `since`. */
export async function foreignProofs(
  db: Db | Tx,
  domain: { name: string; tenantId: string },
  since: Date,
): Promise<ForeignProof[]> {
  const rows = await db.proof.findMany({
    where: {
      method: 'txt',
      lapsedAt: null,
      checkedAt: { gte: since },
      domain: { name: domain.name, tenantId: { not: domain.tenantId } },
    },
    select: { name: true, domainId: true, domain: { select: { tenantId: true } } },
  })
  return rows.map(({ name, domainId, domain: { tenantId } }) => ({ name, domainId, tenantId }))
}

/** For each domain, by id, the names within it that other tenants have proven by TXT. */
export async function foreignNames(
  db: Db | Tx,
  domains: readonly { readonly id: string; readonly name: string; readonly tenantId: string }[],
  since: Date,
): Promise<Map<string, ReadonlySet<string>>> {
  const proofs = await db.proof.findMany({
    where: {
      method: 'txt',
      lapsedAt: null,
      checkedAt: { gte: since },
      domain: { name: { in: [...new Set(domains.map(({ name }) => name))] } },
    },
    select: { name: true, domain: { select: { name: true, tenantId: true } } },
  })
  const foreignTo = (own: { name: string; tenantId: string }) =>
    proofs.filter(({ domain }) => domain.name === own.name && domain.tenantId !== own.tenantId).map(({ name }) => name)
  return new Map(domains.map((domain) => [domain.id, new Set(foreignTo(domain))]))
}

/** Keeps that a proof was seen; one that had lapsed begins anew. */
export async function keepProof(tx: Tx, domainId: string, name: string, method: ProofMethod, now: Date): Promise<void> {
  const where = { domainId_name_method: { domainId, name, method } }
  const before = await tx.proof.findUnique({ where })
  const isStanding = before !== null && before.lapsedAt === null
  await tx.proof.upsert({
    where,
    create: { domainId, name, method, verifiedAt: now, checkedAt: now },
    update: { checkedAt: now, lapsedAt: null, ...(isStanding ? {} : { verifiedAt: now }) },
  })
}

/** Gives up TXT proofs of these names. */
export async function lapseProofs(tx: Tx, domainId: string, names: readonly string[], now: Date): Promise<void> {
  await tx.proof.updateMany({
    where: { domainId, method: 'txt', name: { in: [...names] }, lapsedAt: null },
    data: { lapsedAt: now },
  })
}

/** Forgets the proofs that stand for nothing but a hostname that is removed. */
export async function forgetProofs(tx: Tx, domainId: string, name: string): Promise<void> {
  await tx.proof.deleteMany({ where: { domainId, name, method: { in: ['http', 'trusted'] } } })
}
