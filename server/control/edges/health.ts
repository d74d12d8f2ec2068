import type { Db } from '../db.ts'

type Word = 'ok' | 'degraded' | 'down'

/** How the parts of the control plane are, without names or addresses. */
export type InstallationHealth = {
  readonly status: Word
  readonly checks: Record<string, { status: Word; detail?: string }>
}

/**
 * Whether the database answers and an edge is connected. Without an edge changes wait, and visitors
 * are still served by what edges hold: that is `degraded`, not `down`. Never throws.
 */
export async function installationHealth(db: Db): Promise<InstallationHealth> {
  const live = await db.edge.count({ where: { leaseExpiresAt: { gt: new Date() } } }).catch(() => null)
  if (live === null) return { status: 'down', checks: { database: { status: 'down', detail: 'it does not answer' } } }
  const database = { status: 'ok' } as const
  if (live > 0) return { status: 'ok', checks: { database, edges: { status: 'ok' } } }
  return { status: 'degraded', checks: { database, edges: { status: 'degraded', detail: 'no listener is connected' } } }
}
