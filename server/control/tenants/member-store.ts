import type { Tx } from '../db.ts'
import type { Membership, MembershipRole } from '../generated/client.ts'

type Key = { readonly tenantId: string; readonly userId: string }

/** Adds a membership; the primary key refuses a second one. */
export function insertMember(tx: Tx, member: Key & { role: MembershipRole }): Promise<Membership> {
  return tx.membership.create({ data: member })
}

/** Changes a member's role. */
export function updateMember(tx: Tx, key: Key, role: MembershipRole): Promise<Membership> {
  return tx.membership.update({ where: { tenantId_userId: key }, data: { role } })
}

/** Ends a membership. */
export async function deleteMember(tx: Tx, key: Key): Promise<void> {
  await tx.membership.delete({ where: { tenantId_userId: key } })
}
