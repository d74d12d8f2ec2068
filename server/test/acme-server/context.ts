import type { Urls } from './calls.ts'
import type { FaultBoard } from './faults.ts'
import type { Hierarchy } from './hierarchy.ts'
import type { RateLimits } from './limits.ts'
import type { WritableLog } from './log.ts'
import type { Renewals } from './renewal-rule.ts'
import type { Profile, Settings } from './settings.ts'
import type { State } from './state.ts'

/** What every handler gets. */
export type Context = {
  readonly settings: Settings
  readonly urls: Urls
  readonly state: State
  readonly hierarchy: Hierarchy
  /** Those offered now; changed while running. */
  readonly profiles: Map<string, Profile>
  readonly limits: RateLimits
  readonly renewals: Renewals
  readonly faults: FaultBoard
  readonly log: WritableLog
}

/** An answer before faults are applied and headers added. */
export type Answer = {
  readonly status: number
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  /** An object is sent as JSON. */
  readonly body?: object | string
}
