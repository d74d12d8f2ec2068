import { isDeepStrictEqual } from 'node:util'
import type { Reach } from '../../contract/reach.ts'
import type { SiteRecord } from '../../contract/records.ts'
import type { Deadlines } from '../deadlines.ts'
import { createUpstreamChecks } from './upstream-checks.ts'
import { createUpstreamGroup, type UpstreamGroup } from './upstream-group.ts'
import { createUpstreamNames, type UpstreamNames } from './upstream-names.ts'
import { createUpstreamReach } from './upstream-reach.ts'

/** The upstreams of all sites that had a request lately, for one worker: one socket never serves two sites. */
export type Upstreams = {
  /** The group of a proxy site. `record` is what the caller just read: another one replaces the group. */
  of(siteId: string, record: SiteRecord): UpstreamGroup
  /** A record has changed: ends the idle connections of its site, and re-uses none of the busy ones. */
  drop(siteId: string): void
}

/** With so many sites those without a connection are forgotten, their health included. */
const SWEEP_SITES = 1_000

/** Makes the upstreams of one worker. `reach` judges the very address that is dialled, `isOwn` knows those of the listener. */
export function createUpstreams(deps: {
  readonly reach: Reach
  readonly deadlines: Deadlines
  readonly isOwn?: (address: string, port: number) => boolean
  readonly names?: UpstreamNames
}): Upstreams {
  const { reach, deadlines } = deps
  const names = deps.names ?? createUpstreamNames()
  const groupDeps = {
    reach: createUpstreamReach({ reach, names, isOwn: deps.isOwn ?? (() => false) }),
    checks: createUpstreamChecks({ deadlines }),
    deadlines,
  }
  const groups = new Map<string, { record: SiteRecord; readonly group: UpstreamGroup }>()
  let sweepAt = SWEEP_SITES
  const sweep = (): void => {
    for (const [siteId, { group }] of groups) {
      if (!group.isQuiet) continue
      group.close()
      groups.delete(siteId)
    }
    sweepAt = Math.max(SWEEP_SITES, groups.size * 2)
  }
  const drop = (siteId: string): void => {
    groups.get(siteId)?.group.close()
    groups.delete(siteId)
  }
  return {
    of(siteId, record) {
      const known = groups.get(siteId)
      if (known !== undefined) {
        // The same content may be read anew after the record cache has forgotten it.
        if (known.record === record) return known.group
        if (isDeepStrictEqual(known.record, record)) {
          known.record = record
          return known.group
        }
        drop(siteId)
      }
      if (groups.size >= sweepAt) sweep()
      const group = createUpstreamGroup(siteId, record, groupDeps)
      groups.set(siteId, { record, group })
      return group
    },
    drop,
  }
}
