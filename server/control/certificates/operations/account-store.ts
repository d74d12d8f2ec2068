import type { Db, Tx } from '../../db.ts'
import type { Prisma } from '../../generated/client.ts'

/** An account with its keys, sealed. */
export type AccountRow = Prisma.AcmeAccountGetPayload<object>

/** One account, or null. */
export function findAccount(db: Db | Tx, id: string): Promise<AccountRow | null> {
  return db.acmeAccount.findUnique({ where: { id } })
}

/** The account that orders are placed by now, locked until the transaction ends; null when there is none yet. */
export async function lockCurrentAccount(tx: Tx, issuerId: string): Promise<AccountRow | null> {
  await tx.$executeRaw`select id from acme_account where issuer_id = ${issuerId}::uuid and is_current and not is_staging for update`
  return tx.acmeAccount.findFirst({ where: { issuerId, isCurrent: true, isStaging: false } })
}

/** Keeps the key of a roll-over before the CA is told. */
export async function saveNextKey(tx: Tx, id: string, nextKeySealed: Uint8Array<ArrayBuffer>): Promise<void> {
  await tx.acmeAccount.update({ where: { id }, data: { nextKeySealed } })
}

/** The CA accepts the next key: it is the account's from now on. The issuer is touched, so that every manager takes it up. */
export async function swapKeys(tx: Tx, { id, issuerId, nextKeySealed }: AccountRow): Promise<void> {
  if (nextKeySealed === null) return
  const keySealed = new Uint8Array(nextKeySealed)
  await tx.acmeAccount.update({ where: { id }, data: { keySealed, nextKeySealed: null } })
  await tx.issuer.update({ where: { id: issuerId }, data: { updatedAt: new Date() } })
}

/** The account has ended: no order is placed by it any more. */
export async function endAccount(tx: Tx, id: string): Promise<void> {
  await tx.acmeAccount.update({ where: { id }, data: { isCurrent: false, nextKeySealed: null } })
}
