import type { Reach } from '../../../contract/reach.ts'
import type { HttpCaller } from '../../outbound/http-call.ts'
import type { Lookups } from '../../outbound/resolver.ts'

/** What providers reach the outside with: judged addresses alone. */
export type ProviderReach = {
  readonly lookups: Lookups
  readonly reach: Reach
  readonly call: HttpCaller
  /** Where Cloudflare's API is; another place in tests alone. */
  readonly cloudflareUrl?: string
}
