import { randomUUIDv7 } from 'node:crypto'
import type { Db, Tx } from '../db.ts'
import { Prisma } from '../generated/client.ts'
import { type Page, pageArguments } from '../schema.ts'
import type { Vault } from '../vault.ts'
import { type Circuit, readCircuit } from './circuit.ts'
import { generateKeyPem } from './keys.ts'
import type { LimitOverrides } from './limits.ts'

/** An issuer with its present account. The sealed columns stay in this domain. */
export type IssuerRow = Prisma.IssuerGetPayload<{ include: typeof withAccount }>

const withAccount = {
  accounts: { where: { isCurrent: true, isStaging: false } },
} as const satisfies Prisma.IssuerInclude

/** Contexts under which an issuer's secrets are sealed. */
export const issuerSecret = {
  eabKey: (issuerId: string) => `issuer-eab-key:${issuerId}`,
  rootKey: (issuerId: string) => `issuer-root-key:${issuerId}`,
  accountKey: (accountId: string) => `acme-account-key:${accountId}`,
} as const

/** All issuers, the first choice first. There are few. */
export function allIssuers(db: Db | Tx): Promise<IssuerRow[]> {
  return db.issuer.findMany({ orderBy: [{ priority: 'asc' }, { createdAt: 'asc' }], include: withAccount })
}

/** A page of issuers by id. */
export function pageOfIssuers(db: Db, page: Page): Promise<IssuerRow[]> {
  return db.issuer.findMany({ ...pageArguments(page), include: withAccount })
}

/** One issuer, or null. */
export function findIssuer(db: Db | Tx, id: string): Promise<IssuerRow | null> {
  return db.issuer.findUnique({ where: { id }, include: withAccount })
}

/** The local CA that signs now (the oldest), or null when this installation has none. */
export function findLocalIssuer(db: Db): Promise<IssuerRow | null> {
  return db.issuer.findFirst({ where: { kind: 'local' }, orderBy: { createdAt: 'asc' }, include: withAccount })
}

/** Writes a new issuer. Throws a unique violation for a name that is there. */
export function insertIssuer(tx: Tx, data: Prisma.IssuerCreateInput): Promise<IssuerRow> {
  return tx.issuer.create({ data, include: withAccount })
}

/** The column of limits that were set; null: the known ones. */
export function limitsColumn(limits: LimitOverrides | null): Prisma.InputJsonObject | typeof Prisma.DbNull {
  return limits === null ? Prisma.DbNull : { ...limits }
}

/** Changes an issuer. */
export function updateIssuer(tx: Tx, id: string, data: Prisma.IssuerUpdateInput): Promise<IssuerRow> {
  return tx.issuer.update({ where: { id }, data, include: withAccount })
}

/** Removes an issuer with its accounts. Throws a foreign-key violation while something was issued by it. */
export async function deleteIssuer(tx: Tx, id: string): Promise<void> {
  await tx.acmeAccount.deleteMany({ where: { issuerId: id } })
  await tx.issuer.delete({ where: { id } })
}

/** What an issuer needs of its account. */
export type AccountRow = {
  readonly id: string
  readonly keySealed: Uint8Array
  readonly url: string | null
  /** The key of a roll-over under way. */
  readonly nextKeySealed: Uint8Array | null
}

/** The present account row of an ACME issuer, or of its staging directory; makes one with a new key when there is none. Replicas agree on one. */
export async function ensureAccountRow(
  db: Db,
  vault: Vault,
  issuerId: string,
  isStaging: boolean,
): Promise<AccountRow> {
  const where = { issuerId, isCurrent: true, isStaging }
  const present = await db.acmeAccount.findFirst({ where })
  if (present !== null) return present
  const id = randomUUIDv7()
  const keySealed = vault.seal(await generateKeyPem(), issuerSecret.accountKey(id))
  await db.acmeAccount.createMany({ data: [{ id, issuerId, isStaging, keySealed }], skipDuplicates: true })
  return db.acmeAccount.findFirstOrThrow({ where })
}

/** Keeps the URL by which the CA knows the account. */
export async function saveAccountUrl(db: Db, accountId: string, url: string): Promise<void> {
  await db.acmeAccount.update({ where: { id: accountId }, data: { url } })
}

/** The CA does not know the account of this order any more: the next order makes another. */
export async function forgetAccountOf(tx: Tx, orderId: string): Promise<void> {
  await tx.acmeAccount.updateMany({ where: { orders: { some: { id: orderId } } }, data: { isCurrent: false } })
}

/** Keeps how an issuer is failing; null when it works again. Changes nothing else of the row. */
export async function saveCircuit(db: Db | Tx, issuerId: string, circuit: Circuit | null): Promise<void> {
  const value = circuit === null ? null : JSON.stringify(circuit)
  await db.$executeRaw`
    update issuer set circuit = ${value}::jsonb
     where id = ${issuerId}::uuid and circuit is distinct from ${value}::jsonb`
}

/** The present circuit of an issuer, locked until the transaction ends. */
export async function lockCircuit(tx: Tx, issuerId: string): Promise<Circuit | null> {
  const rows = await tx.$queryRaw<{ circuit: unknown }[]>`
    select circuit from issuer where id = ${issuerId}::uuid for update`
  return readCircuit(rows[0]?.circuit)
}
