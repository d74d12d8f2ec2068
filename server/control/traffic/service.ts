import { HOUR_MS, type TrafficField, trafficFields } from '../../contract/traffic.ts'
import { type Actor, requireAdmin, requireTenant, requireUser } from '../auth/access.ts'
import type { Db } from '../db.ts'
import { AppError, notFound } from '../errors.ts'
import type { Traffic, TrafficQuery } from './schema.ts'
import { ALL_SITES, sumTraffic } from './store.ts'

/** Longest range of one call by its step, and the one when `from` is left out. */
const ranges = {
  hour: { mostMs: 31 * 24 * HOUR_MS, usualMs: 24 * HOUR_MS },
  day: { mostMs: 400 * 24 * HOUR_MS, usualMs: 30 * 24 * HOUR_MS },
} as const

/** What was counted. Methods throw `AppError` and check access first. */
export type TrafficService = {
  /** Of one site: for its tenant's people and the platform's. */
  ofSite(actor: Actor, siteId: string, query: TrafficQuery): Promise<Traffic>
  /** Of all sites together, and of requests that no site answered: for the platform's people. */
  ofAll(actor: Actor, query: TrafficQuery): Promise<Traffic>
}

/** Makes the service. */
export function createTrafficService(db: Db): TrafficService {
  const read = async (siteId: string, query: TrafficQuery): Promise<Traffic> => {
    const range = rangeOf(query, Date.now())
    const sums = await sumTraffic(db, siteId, range)
    const items = sums.map(({ at, counts }) => ({ at: at.toISOString(), ...named(counts) }))
    return { from: range.from.toISOString(), to: range.to.toISOString(), by: range.by, items }
  }
  return {
    async ofSite(actor, siteId, query) {
      requireUser(actor)
      const site = await db.site.findUnique({ where: { id: siteId }, select: { tenantId: true } })
      if (site === null) throw notFound('site')
      requireTenant(actor, site.tenantId, 'viewer', 'site')
      return read(siteId, query)
    },
    async ofAll(actor, query) {
      requireAdmin(actor, 'read')
      return read(ALL_SITES, query)
    },
  }
}

function named(counts: readonly number[]): Record<TrafficField, number> {
  return Object.fromEntries(trafficFields.map((field, at) => [field, counts[at] ?? 0])) as Record<TrafficField, number>
}

/** Hours that are touched are counted whole. */
function rangeOf(query: TrafficQuery, nowMs: number): { from: Date; to: Date; by: 'hour' | 'day' } {
  const { by = 'hour' } = query
  const toMs = query.to === undefined ? nowMs : Date.parse(query.to)
  const fromMs = query.from === undefined ? toMs - ranges[by].usualMs : Date.parse(query.from)
  if (!(fromMs < toMs))
    throw new AppError('INVALID_INPUT', 'The range is empty.', {
      errors: [{ field: 'from', detail: 'must be before to' }],
    })
  if (toMs - fromMs > ranges[by].mostMs)
    throw new AppError(
      'INVALID_INPUT',
      `By ${by} at most ${ranges[by].mostMs / HOUR_MS / 24} days can be asked for at once.`,
      {
        errors: [{ field: 'from', detail: 'is too long before to' }],
      },
    )
  return { from: new Date(Math.floor(fromMs / HOUR_MS) * HOUR_MS), to: new Date(toMs), by }
}
