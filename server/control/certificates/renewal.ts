import type { Random } from './schedule.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** Lifetimes below this are renewed at half of them, longer ones with a third left (Let's Encrypt's integration guide). */
const SHORT_LIFETIME_MS = 10 * DAY_MS
const SHORT_LEFT = 1 / 2
const LONG_LEFT = 1 / 3
/** Share of the lifetime by which renewals of what was issued together are spread, half of it to each side. */
const RENEW_SPREAD = 0.1
/** With less than this share of the lifetime left it is renewed whatever the CA suggests. */
const EMERGENCY_LEFT = 1 / 20
/** With less than this share left a renewal goes before new names. */
const URGENT_LEFT = 1 / 6
/** A CA asks to be polled every 6 hours or so; these bound what it may ask for (RFC 9773 section 4.3.2). */
const MIN_POLL_MS = HOUR_MS
const MAX_POLL_MS = 12 * HOUR_MS
/** A certificate's window is looked at least so often in its lifetime, however short that is. */
const POLLS_IN_LIFETIME = 20

/** From when to when a certificate is valid. */
export type Validity = { readonly notBefore: Date; readonly notAfter: Date }

/** The window in which the CA wants a certificate renewed, with the time that was chosen in it. */
export type RenewalWindow = { readonly start: Date; readonly end: Date; readonly selectedAt: Date }

/** What decides when a certificate is renewed. */
export type RenewalFacts = Validity & {
  /** By the lifetime alone, kept since the issue; null counts as the earliest that `renewAt` gives. */
  readonly renewAt: Date | null
  readonly window: RenewalWindow | null
}

/** When a certificate is renewed by its lifetime: a third of it (half of a short one) before its end, spread by a tenth of it. */
export function renewAt({ notBefore, notAfter }: Validity, random: Random): Date {
  const lifetimeMs = notAfter.getTime() - notBefore.getTime()
  const left = lifetimeMs < SHORT_LIFETIME_MS ? SHORT_LEFT : LONG_LEFT
  const spread = (1 / 2 - random()) * RENEW_SPREAD
  return new Date(notAfter.getTime() - lifetimeMs * (left + spread))
}

/**
 * When it is renewed: at the time chosen in the CA's window, else by its lifetime; never later than
 * the emergency, when a twentieth of the lifetime is left.
 */
export function renewalTime(facts: RenewalFacts): Date {
  const chosen = facts.window?.selectedAt ?? facts.renewAt ?? renewAt(facts, () => 0)
  const emergency = timeWithLeft(facts, EMERGENCY_LEFT)
  return chosen < emergency ? chosen : emergency
}

/** Whether a renewal may wait no longer for its turn behind others. */
export function isUrgent(validity: Validity, now: Date): boolean {
  return now >= timeWithLeft(validity, URGENT_LEFT)
}

/**
 * Keeps the chosen time until the window moves, then chooses anew, evenly in the window; a window in
 * the past means now (RFC 9773 section 4.2).
 */
export function chooseInWindow(
  offered: { readonly start: Date; readonly end: Date },
  present: RenewalWindow | null,
  now: Date,
  random: Random,
): RenewalWindow {
  const { start, end } = offered
  const isSame = present?.start.getTime() === start.getTime() && present.end.getTime() === end.getTime()
  if (present !== null && isSame) return present
  const chosen = new Date(start.getTime() + random() * (end.getTime() - start.getTime()))
  return { start, end, selectedAt: chosen < now ? now : chosen }
}

/** When the CA is asked for the window next: as it says, within bounds; null when it has not said. */
export function nextPoll(validity: Validity, retryAfterMs: number | null, now: Date, random: Random): Date {
  const most = Math.min(MAX_POLL_MS, lifetimeMs(validity) / POLLS_IN_LIFETIME)
  const least = Math.min(MIN_POLL_MS, most)
  const asked = retryAfterMs ?? most
  const spread = 1 - random() * RENEW_SPREAD
  return new Date(now.getTime() + Math.min(Math.max(asked, least), most) * spread)
}

/** The first look at the window: soon after the issue, spread, since the CA suggests nothing new before that. */
export function firstPoll(validity: Validity, now: Date, random: Random): Date {
  return new Date(now.getTime() + random() * Math.min(MAX_POLL_MS / 2, lifetimeMs(validity) / POLLS_IN_LIFETIME))
}

function timeWithLeft(validity: Validity, share: number): Date {
  return new Date(validity.notAfter.getTime() - lifetimeMs(validity) * share)
}

function lifetimeMs({ notBefore, notAfter }: Validity): number {
  return notAfter.getTime() - notBefore.getTime()
}
