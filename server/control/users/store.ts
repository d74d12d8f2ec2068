import { type UserRow, userInclude } from '../auth/user-view.ts'
import type { Tx } from '../db.ts'
import type { Prisma } from '../generated/client.ts'

/** Any fixed number: changes that could take away the last admin take turns. */
const ADMIN_LOCK = 7_283_002

/** Adds a user. */
export function insertUser(tx: Tx, data: Prisma.UserUncheckedCreateInput): Promise<UserRow> {
  return tx.user.create({ data, include: userInclude })
}

/** Changes a user. */
export function updateUser(tx: Tx, id: string, data: Prisma.UserUncheckedUpdateInput): Promise<UserRow> {
  return tx.user.update({ where: { id }, data, include: userInclude })
}

/** Deletes a user with memberships, sessions and tokens. */
export async function deleteUser(tx: Tx, id: string): Promise<void> {
  await tx.user.delete({ where: { id } })
}

/** Waits for its turn to change who is an admin, until `tx` ends. */
export async function lockAdmins(tx: Tx): Promise<void> {
  await tx.$executeRaw`select pg_advisory_xact_lock(${ADMIN_LOCK}::bigint)`
}

/** Number of admins who can act, but for one. */
export function countOtherAdmins(tx: Tx, exceptId: string): Promise<number> {
  return tx.user.count({ where: { platformRole: 'admin', disabledAt: null, id: { not: exceptId } } })
}
