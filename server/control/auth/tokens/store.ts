import type { Db, Tx } from '../../db.ts'
import type { ApiToken, Prisma } from '../../generated/client.ts'

/** Notes the use of a token, unless a call since `usedBefore` has. */
export async function markTokenUsed(db: Db, id: string, usedBefore: Date): Promise<void> {
  await db.apiToken.updateMany({
    where: { id, OR: [{ lastUsedAt: null }, { lastUsedAt: { lt: usedBefore } }] },
    data: { lastUsedAt: new Date() },
  })
}

/** Adds a token. */
export function insertToken(tx: Tx, data: Prisma.ApiTokenUncheckedCreateInput): Promise<ApiToken> {
  return tx.apiToken.create({ data })
}

/** Revokes a token; false when it was. */
export async function revokeToken(tx: Tx, id: string): Promise<boolean> {
  const { count } = await tx.apiToken.updateMany({ where: { id, revokedAt: null }, data: { revokedAt: new Date() } })
  return count === 1
}
