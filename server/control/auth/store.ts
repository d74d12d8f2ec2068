import type { Db, Tx } from '../db.ts'
import type { Session } from '../generated/client.ts'
import { type UserRow, userInclude } from './user-view.ts'

type Hash = Uint8Array<ArrayBuffer>

/** A user by e-mail (any case), or null. */
export function findUserByEmail(db: Db | Tx, email: string): Promise<UserRow | null> {
  return db.user.findUnique({ where: { email: email.trim().toLowerCase() }, include: userInclude })
}

/** A user by id, or null. */
export function findUser(db: Db | Tx, id: string): Promise<UserRow | null> {
  return db.user.findUnique({ where: { id }, include: userInclude })
}

/** A session that has neither ended nor been revoked, with its user who is not disabled; else null. */
export function findLiveSession(db: Db, id: string): Promise<(Session & { user: UserRow }) | null> {
  return db.session.findFirst({
    where: { id, revokedAt: null, expiresAt: { gt: new Date() }, user: { disabledAt: null } },
    include: { user: { include: userInclude } },
  })
}

/** Starts a session, and forgets those of this user that ended long ago. */
export async function insertSession(
  tx: Tx,
  session: { id: string; userId: string; secretHash: Hash; userAgent: string | null; expiresAt: Date },
  forgetBefore: Date,
): Promise<void> {
  await tx.session.deleteMany({ where: { userId: session.userId, expiresAt: { lt: forgetBefore } } })
  await tx.session.create({ data: session })
}

/** Replaces the current secret, if `from` is it and the session lives. Of two at once one wins. */
export async function rotateSecret(tx: Tx, id: string, from: Hash, to: Hash, expiresAt: Date): Promise<boolean> {
  const { count } = await tx.session.updateMany({
    where: { id, secretHash: from, revokedAt: null, expiresAt: { gt: new Date() } },
    data: { secretHash: to, previousHash: from, rotatedAt: new Date(), expiresAt },
  })
  return count === 1
}

/** Ends a session; false when it had ended. */
export async function revokeSession(tx: Tx, id: string): Promise<boolean> {
  const { count } = await tx.session.updateMany({ where: { id, revokedAt: null }, data: { revokedAt: new Date() } })
  return count === 1
}

/** Ends all sessions of a user but one. */
export async function revokeSessions(tx: Tx, userId: string, exceptId: string | null): Promise<void> {
  const not = exceptId === null ? {} : { id: { not: exceptId } }
  await tx.session.updateMany({ where: { userId, revokedAt: null, ...not }, data: { revokedAt: new Date() } })
}

/** Deletes sessions that ended before, whoever's they were. Returns how many. */
export function forgetSessions(db: Db, before: Date, limit: number): Promise<number> {
  return db.$executeRaw`
    delete from session where id in (select id from session where expires_at < ${before} order by expires_at limit ${limit})`
}
