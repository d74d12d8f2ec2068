import type { Tx } from '../db.ts'

type Hash = Uint8Array<ArrayBuffer>

/** Adds a link, and forgets those that have expired. */
export async function insertSetupLink(tx: Tx, hash: Hash, expiresAt: Date): Promise<void> {
  await tx.setupLink.deleteMany({ where: { expiresAt: { lt: new Date() } } })
  await tx.setupLink.create({ data: { hash, expiresAt } })
}

/** Uses a link up; false when it is unknown, used or expired. Of two at once one gets true. */
export async function consumeSetupLink(tx: Tx, hash: Hash): Promise<boolean> {
  const now = new Date()
  const { count } = await tx.setupLink.updateMany({
    where: { hash, usedAt: null, expiresAt: { gt: now } },
    data: { usedAt: now },
  })
  return count === 1
}
