import type { Db, Tx } from '../../db.ts'
import type { ApiToken, Prisma } from '../../generated/client.ts'
import { type UserRow, userInclude } from '../user-view.ts'

/** A token that can be used now, with its user who is not disabled; else null. */
export function findLiveToken(db: Db, hash: Uint8Array<ArrayBuffer>): Promise<(ApiToken & { user: UserRow }) | null> {
  return db.apiToken.findFirst({
    where: {
      hash,
      revokedAt: null,
      OR: [{ expiresAt: null }, { expiresAt: { gt: new Date() } }],
      user: { disabledAt: null },
    },
    include: { user: { include: userInclude } },
  })
}

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
