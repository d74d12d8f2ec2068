/** A hostname that uses an uploaded certificate. */
export type UploadedHostname = {
  readonly id: string
  readonly name: string
  readonly ownershipState: string
  /** The ACME certificate that is to take over; null when none is wanted yet. */
  readonly nextCertificateId: string | null
}

/** An uploaded certificate with all that decides about it. */
export type PlannedUpload = {
  readonly fallbackToAcme: boolean
  /** Warnings about the active version that were given already, 0 to 3. */
  readonly expiryWarnings: number
  /** Its tenant has deleted it. */
  readonly isLeaving: boolean
  readonly active: { readonly notBefore: Date; readonly notAfter: Date; readonly revocationWantedAt: Date | null }
  readonly hostnames: readonly UploadedHostname[]
}

/** What is to be done with an uploaded certificate now. */
export type UploadPlan = {
  readonly state: 'valid' | 'expired' | 'revoked'
  /** The row is deleted: its tenant wanted it, and nothing uses it any more. */
  readonly isRemoved: boolean
  /** The warning to give now: how many are given with it; null for none. */
  readonly warning: number | null
  /** Hostnames for which an ACME certificate is wanted from now on. */
  readonly fallbackFor: readonly UploadedHostname[]
  /** When to look again; null: never, unless somebody changes it. */
  readonly dueAt: Date | null
}

/** Shares of the lifetime that are left when its tenant is warned. */
const WARNING_SHARES = [1 / 3, 1 / 10, 1 / 30] as const
const FALLBACK_SHARE = 1 / 10
/** Three attempts at the CA, 1, 10 and 100 minutes apart with 20 % of jitter (schedule.ts). */
const THREE_ATTEMPTS_MS = 1.2 * (1 + 10 + 100) * 60_000
/** Of very short lifetimes no more than this is given to the attempts. */
const MOST_SHARE = 1 / 2

/**
 * Plans an uploaded certificate: warnings at a third, a tenth and a thirtieth of its lifetime; an ACME
 * certificate is wanted with a tenth left, or earlier where that is less than three attempts' worth, unless the
 * tenant forbade it; at once when it was deleted or is to be revoked. It serves until then, and it is never
 * deleted by itself. Pure.
 */
export function planUploaded(upload: PlannedUpload, now: Date): UploadPlan {
  const { active, hostnames } = upload
  const isUnused = hostnames.length === 0
  const isRevoked = active.revocationWantedAt !== null
  const ending = { warning: null, fallbackFor: [], dueAt: null }
  if (upload.isLeaving && isUnused) return { ...ending, state: 'valid', isRemoved: true }
  if (isRevoked && isUnused) return { ...ending, state: 'revoked', isRemoved: false }
  const left = active.notAfter.getTime() - now.getTime()
  const given = isUnused ? 0 : WARNING_SHARES.filter((_, index) => left <= warningMs(active, index)).length
  const mustGo = upload.isLeaving || isRevoked
  const wantsFallback = mustGo || (upload.fallbackToAcme && left <= fallbackMs(active))
  return {
    state: left <= 0 ? 'expired' : 'valid',
    isRemoved: false,
    warning: given > upload.expiryWarnings ? given : null,
    fallbackFor: wantsFallback ? hostnames.filter(isOpen) : [],
    dueAt: nextLook(active, now),
  }
}

/** The moments at which something changes, the next one first. */
function nextLook(active: PlannedUpload['active'], now: Date): Date | null {
  const moments = [...WARNING_SHARES.map((_, index) => warningMs(active, index)), fallbackMs(active), 0]
  const times = moments.map((ms) => active.notAfter.getTime() - ms).filter((time) => time > now.getTime())
  return times.length === 0 ? null : new Date(Math.min(...times))
}

/** Left of the lifetime when this warning is due, in ms. */
function warningMs(active: PlannedUpload['active'], index: number): number {
  return Math.floor(lifetimeMs(active) * (WARNING_SHARES[index] ?? 0))
}

function fallbackMs(active: PlannedUpload['active']): number {
  const wanted = Math.max(lifetimeMs(active) * FALLBACK_SHARE, THREE_ATTEMPTS_MS)
  return Math.floor(Math.min(wanted, lifetimeMs(active) * MOST_SHARE))
}

function lifetimeMs({ notBefore, notAfter }: PlannedUpload['active']): number {
  return notAfter.getTime() - notBefore.getTime()
}

function isOpen({ ownershipState, nextCertificateId }: UploadedHostname): boolean {
  return ownershipState === 'verified' && nextCertificateId === null
}
