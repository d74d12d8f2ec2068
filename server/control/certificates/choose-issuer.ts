/** An issuer as planning sees it. */
export type PlannedIssuer = {
  readonly id: string
  readonly kind: 'acme' | 'local'
  readonly isEnabled: boolean
  readonly priority: number
  /** While it is later than now, the CA is left alone. */
  readonly circuitOpenUntil: Date | null
  /** Since when it has been failing; null while it works. */
  readonly failingSince: Date | null
}

/** Issuers that one certificate passes over for a while: by id, until when and why. */
export type Shunned = Readonly<Record<string, { readonly until: string; readonly code: string }>>

/** What the choice depends on. */
export type IssuerChoiceFacts = {
  readonly names: readonly string[]
  readonly active: { readonly issuerId: string | null } | null
  /** The tenant's or the plan's order; empty: by priority. */
  readonly preferredIssuerIds: readonly string[]
  readonly shunned: Shunned
  /** Whether names can be proven in DNS here: a provider is set, or a lasting record stands. */
  readonly provesByDns: boolean
}

/** What the choice is. */
export type IssuerChoice =
  | { readonly kind: 'issuer'; readonly issuer: PlannedIssuer; readonly isFirstChoice: boolean }
  /** All that could issue are failing now. */
  | { readonly kind: 'later'; readonly until: Date; readonly issuer: PlannedIssuer }
  | { readonly kind: 'none'; readonly reason: 'no-issuer' | 'wildcard' }

/**
 * The issuer for a certificate: the first in the tenant's (plan's, or the platform's) order that is
 * enabled, can prove the names, works, and did not refuse them lately. Pure.
 */
export function chooseIssuer(facts: IssuerChoiceFacts, issuers: readonly PlannedIssuer[], now: Date): IssuerChoice {
  const enabled = inOrder(facts.preferredIssuerIds, issuers)
  const able = ableOf(facts, enabled)
  const [first] = able
  if (first === undefined) return { kind: 'none', reason: enabled.length === 0 ? 'no-issuer' : 'wildcard' }
  const working = able.filter((issuer) => readyAt(issuer, facts.shunned, now) === null)
  const [chosen] = working
  if (chosen !== undefined) return { kind: 'issuer', issuer: chosen, isFirstChoice: chosen === first }
  const waits = able.map((issuer) => ({ issuer, until: readyAt(issuer, facts.shunned, now) ?? now }))
  const soonest = waits.reduce((best, item) => (item.until < best.until ? item : best))
  return { kind: 'later', ...soonest }
}

function inOrder(preferred: readonly string[], issuers: readonly PlannedIssuer[]): PlannedIssuer[] {
  const enabled = issuers.filter(({ isEnabled }) => isEnabled).sort((a, b) => a.priority - b.priority)
  const named = preferred.flatMap((id) => enabled.filter((issuer) => issuer.id === id))
  return named.length > 0 ? named : enabled
}

/**
 * Those that can prove the names. Only the preferred one decides whether a wildcard has to wait for a
 * proof in DNS: the local CA beside a real one is no stand-in, but keeps what it has issued.
 */
function ableOf({ names, active, provesByDns }: IssuerChoiceFacts, enabled: readonly PlannedIssuer[]): PlannedIssuer[] {
  const can = (issuer: PlannedIssuer): boolean =>
    issuer.kind === 'local' || provesByDns || names.every((name) => !name.startsWith('*.'))
  const [preferred] = enabled
  if (preferred === undefined) return []
  if (can(preferred)) return enabled.filter((issuer) => can(issuer) && issuer.kind === preferred.kind)
  return enabled.filter((issuer) => issuer.id === active?.issuerId && can(issuer))
}

function readyAt(issuer: PlannedIssuer, shunned: Shunned, now: Date): Date | null {
  const until = shunned[issuer.id]?.until
  const times = [issuer.circuitOpenUntil, until === undefined ? null : new Date(until)]
  const later = times.filter((time): time is Date => time !== null && time > now)
  return later.length === 0 ? null : new Date(Math.max(...later.map((time) => time.getTime())))
}

/** Adds an issuer to those passed over, and forgets those whose time is over. */
export function shunning(shunned: Shunned, issuerId: string, code: string, until: Date, now: Date): Shunned {
  const kept = Object.entries(shunned).filter(([, entry]) => new Date(entry.until) > now)
  return { ...Object.fromEntries(kept), [issuerId]: { until: until.toISOString(), code } }
}

/** Reads what `certificate.shunned` holds. */
export function readShunned(value: unknown): Shunned {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Shunned) : {}
}
