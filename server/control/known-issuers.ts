import type { Tx } from './db.ts'
import { AppError } from './errors.ts'

/** For those who set an order of issuers. Throws INVALID_INPUT when one of the ids is no issuer's. */
export async function requireIssuers(tx: Tx, issuerIds: readonly string[] | undefined): Promise<void> {
  if (issuerIds === undefined || issuerIds.length === 0) return
  const found = await tx.issuer.findMany({ where: { id: { in: [...issuerIds] } }, select: { id: true } })
  const unknown = issuerIds.filter((id) => !found.some((row) => row.id === id))
  if (unknown.length === 0) return
  const detail = `There is no issuer ${unknown.join(', ')}.`
  throw new AppError('INVALID_INPUT', detail, { errors: [{ field: 'issuerIds', detail }] })
}
