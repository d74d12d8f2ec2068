/** What was seen at one address. */
export type Sight =
  | { readonly address: string; readonly kind: 'served'; readonly fingerprint: string }
  /** It did not shake hands; `detail` says why. */
  | { readonly address: string; readonly kind: 'silent'; readonly detail: string }
  /** From this machine there is no way there. */
  | { readonly address: string; readonly kind: 'no-route' }

/** What should be seen. */
export type Expectation = {
  /** Fingerprint of the version that should be served. */
  readonly active: string
  /** Fingerprints of the same certificate's other versions. */
  readonly previous: readonly string[]
  readonly activatedAt: Date
  /** Whether every live edge has confirmed the name with its certificate. */
  readonly isLive: boolean
}

/** What a look means. `grace`: a difference that time explains; it is looked at again soon. */
export type Verdict = {
  readonly kind: 'ok' | 'grace' | 'problem' | 'skipped'
  readonly detail: string | null
  readonly servedFingerprint: string | null
}

/** An ack says "every worker"; this is for connections and caches on the way. */
const GRACE_MS = 5 * 60_000
/** A name that is not confirmed is not served yet: that is shown elsewhere, and not an alarm of its own for so long. */
const UNCONFIRMED_MS = 60 * 60_000

/** Compares what was seen with what should be. The worst address decides. Pure. */
export function judgeSights(sights: readonly Sight[], expected: Expectation, now: Date): Verdict {
  const seen = sights.filter((sight) => sight.kind !== 'no-route')
  if (seen.length === 0) return skipped(sights)
  const [wrong] = seen.filter((sight) => sight.kind === 'silent' || sight.fingerprint !== expected.active)
  if (wrong === undefined) return { kind: 'ok', detail: null, servedFingerprint: expected.active }
  const servedFingerprint = wrong.kind === 'served' ? wrong.fingerprint : null
  const ageMs = now.getTime() - expected.activatedAt.getTime()
  const isExplained = explains(wrong, expected, ageMs)
  return { kind: isExplained ? 'grace' : 'problem', detail: detailOf(wrong, expected), servedFingerprint }
}

function explains(wrong: Sight, { previous, isLive }: Expectation, ageMs: number): boolean {
  const isPrevious = wrong.kind === 'served' && previous.includes(wrong.fingerprint)
  if (ageMs < GRACE_MS) return isPrevious || !isLive
  return !isLive && ageMs < UNCONFIRMED_MS && wrong.kind === 'served'
}

function detailOf(wrong: Sight, { previous }: Expectation): string {
  if (wrong.kind === 'silent') return `${wrong.address}: ${wrong.detail}.`
  if (wrong.kind === 'served' && previous.includes(wrong.fingerprint))
    return `${wrong.address} still shows an earlier certificate of this name.`
  return `${wrong.address} shows another certificate than the one that is kept for this name.`
}

function skipped(sights: readonly Sight[]): Verdict {
  const [first] = sights
  const detail =
    first === undefined
      ? 'The name leads to no address that can be looked at.'
      : `This machine has no way to ${first.address}.`
  return { kind: 'skipped', detail, servedFingerprint: null }
}
