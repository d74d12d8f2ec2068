import { type Actor, requireAdmin, requireTenant } from '../../auth/access.ts'
import type { Db } from '../../db.ts'
import { notFound } from '../../errors.ts'
import type { OperationView } from '../schema.ts'
import { readStoredProblem } from '../store.ts'
import { findOperation, type OperationRow } from './operation-store.ts'

/** An operation that is no order, for `GET /operations/{id}`. Throws NOT_FOUND; the platform's are for its people. */
export async function otherOperation(db: Db, actor: Actor, id: string): Promise<OperationView> {
  const row = await findOperation(db, id)
  if (row === null) throw notFound('operation')
  if (row.tenantId === null) requireAdmin(actor, 'read')
  else requireTenant(actor, row.tenantId, 'viewer', 'operation')
  return viewOfOperation(row)
}

/** As the API shows it. */
export function viewOfOperation({ id, state, problem, certificateId, issuerId }: OperationRow): OperationView {
  const stored = readStoredProblem(problem)
  const result = certificateId === null ? (issuerId === null ? {} : { issuerId }) : { certificateId }
  return {
    id,
    state,
    ...(stored === null || state === 'succeeded' ? {} : { problem: { code: stored.code, detail: stored.detail } }),
    ...(state === 'succeeded' ? { result } : {}),
  }
}
