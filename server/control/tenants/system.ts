import type { Tx } from '../db.ts'
import { insertTenant } from './store.ts'

const NAME = 'Nameplate'

/**
 * The platform's own tenant, which owns the panel's site; made when it is not there. Only the
 * composition root calls this. Returns its id.
 */
export async function ensureSystemTenant(tx: Tx): Promise<string> {
  const present = await tx.tenant.findFirst({ where: { isSystem: true }, select: { id: true } })
  return present?.id ?? (await insertTenant(tx, { name: NAME, isSystem: true })).id
}
