import { attemptsBefore, attemptWorthMs, type DelayAfter } from './attempts.ts'
import { audienceOf } from './audience.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
/** A trouble that heals within an hour is nobody's business, but of a short certificate's life an hour is a lot. */
const QUIET_SHARE = 0.05
/** Longest time without a look at a certificate in trouble. */
const LOOK_MS = 24 * HOUR_MS

/** Kinds of notices of one trouble, from the least to the most urgent. */
const issuedKinds = ['failing', 'attempts-7', 'attempts-3', 'attempts-1', 'expired'] as const
const uploadedKinds = ['expires-21', 'expires-7', 'expires-3', 'expires-1', 'expired'] as const

/** What somebody is told about a certificate. The numbers are attempts' worth of time before it expires. */
export type NoticeKind = (typeof issuedKinds)[number] | (typeof uploadedKinds)[number] | 'recovered' | 'retired'

/** A certificate with what decides about notices. */
export type WatchedCertificate = {
  readonly source: 'issued' | 'uploaded'
  readonly state: string
  readonly problemCode: string | null
  readonly active: { readonly notBefore: Date; readonly notAfter: Date } | null
  readonly nextAttemptAt: Date | null
  readonly failures: number
  /** Of a retired certificate: its names that the tenant still has, and for which nothing is ordered any more. */
  readonly lostNames: readonly string[]
  readonly troubleSince: Date | null
  /** Kinds that the present trouble has already. */
  readonly noticed: readonly string[]
  /** Whether a mail told of the present trouble. */
  readonly wasTold: boolean
}

/** What is to be noted now, and when it is looked at next. */
export type NoticePlan = {
  readonly add: NoticeKind | null
  /** Notices that are in no mail yet are not sent: the trouble is over, or `add` says more. */
  readonly withdraw: boolean
  readonly troubleSince: Date | null
  readonly noticed: readonly string[]
  /** Null: not before it changes. */
  readonly dueAt: Date | null
}

/**
 * Decides what somebody must be told about a certificate. Every kind comes once in a trouble, and of several that are
 * new only the most urgent. Pure: the same rows and the same clock give the same plan, so a restart tells nothing twice.
 */
export function planNotices(watched: WatchedCertificate, now: Date, delayAfter: DelayAfter): NoticePlan {
  if (watched.state === 'retired') return planRetired(watched, now)
  if (watched.state === 'revoked') return over(watched, null)
  const { ripe, dueAt } =
    watched.source === 'uploaded'
      ? planUploaded(watched, now, delayAfter)
      : isTroubled(watched)
        ? planIssued(watched, now, delayAfter)
        : { ripe: null, dueAt: null }
  if (ripe === null && !isTroubled(watched)) {
    const isMended = watched.noticed.length > 0 && watched.state === 'valid'
    return isMended ? over(watched, watched.wasTold ? 'recovered' : null, dueAt) : { ...unchanged(watched), dueAt }
  }
  return withKind(watched, ripe, dueAt, now)
}

function isTroubled({ source, state, problemCode }: WatchedCertificate): boolean {
  if (source === 'uploaded') return false
  return problemCode !== null || state === 'failing' || state === 'paused' || state === 'expired'
}

type Ripe = { readonly ripe: NoticeKind | null; readonly dueAt: Date | null }

function planIssued(watched: WatchedCertificate, now: Date, delayAfter: DelayAfter): Ripe {
  const { active, problemCode, nextAttemptAt, failures } = watched
  const since = watched.troubleSince ?? now
  const quietMs = active === null ? HOUR_MS : Math.min(HOUR_MS, lifetimeOf(active) * QUIET_SHARE)
  const quietUntil = new Date(since.getTime() + quietMs)
  const audience = problemCode === null ? 'unknown' : audienceOf(problemCode)
  const isQuiet = audience !== 'tenant' && now < quietUntil
  const next = nextAttemptAt ?? now
  const looks = [nextLook(next, now), ...(isQuiet ? [quietUntil] : []), ...endOf(active, now)]
  const dueAt = new Date(Math.min(...looks.map((look) => look.getTime())))
  if (active !== null && active.notAfter <= now) return { ripe: 'expired', dueAt }
  if (isQuiet) return { ripe: null, dueAt }
  const left = active === null ? null : attemptsBefore(active.notAfter, next, now, failures, delayAfter, 8)
  const ofTime = left === null ? null : level(left)
  const isTold = audience === 'tenant' || audience === 'unknown'
  return { ripe: ofTime ?? (isTold ? 'failing' : null), dueAt }
}

function level(attempts: number): NoticeKind | null {
  if (attempts <= 1) return 'attempts-1'
  if (attempts <= 3) return 'attempts-3'
  return attempts <= 7 ? 'attempts-7' : null
}

/** The schedule gives nothing for an upload, which no attempt renews: shares of its lifetime do. */
function planUploaded({ active }: WatchedCertificate, now: Date, delayAfter: DelayAfter): Ripe {
  if (active === null) return { ripe: null, dueAt: null }
  const worthMs = attemptWorthMs(lifetimeOf(active), delayAfter)
  const from = (worths: number): Date => new Date(active.notAfter.getTime() - worths * worthMs)
  const steps: readonly (readonly [NoticeKind, Date])[] = [
    ['expires-21', from(21)],
    ['expires-7', from(7)],
    ['expires-3', from(3)],
    ['expires-1', from(1)],
    ['expired', active.notAfter],
  ]
  const passed = steps.filter(([, at]) => at <= now)
  return { ripe: passed.at(-1)?.[0] ?? null, dueAt: steps[passed.length]?.[1] ?? null }
}

function planRetired(watched: WatchedCertificate, now: Date): NoticePlan {
  if (watched.lostNames.length === 0) return over(watched, null)
  return withKind(watched, 'retired', null, now)
}

function withKind(watched: WatchedCertificate, kind: NoticeKind | null, dueAt: Date | null, now: Date): NoticePlan {
  const troubleSince = watched.troubleSince ?? now
  const isNew = kind !== null && !watched.noticed.includes(kind)
  const noticed = kind === null ? watched.noticed : [...new Set([...watched.noticed, ...upTo(watched.source, kind)])]
  return { add: isNew ? kind : null, withdraw: isNew && watched.noticed.length > 0, troubleSince, noticed, dueAt }
}

/** A kind with all that are less urgent: they would only repeat it. */
function upTo(source: WatchedCertificate['source'], kind: NoticeKind): readonly string[] {
  const kinds: readonly string[] = source === 'uploaded' ? uploadedKinds : issuedKinds
  return kinds.includes(kind) ? kinds.slice(0, kinds.indexOf(kind) + 1) : [kind]
}

function over(watched: WatchedCertificate, add: NoticeKind | null, dueAt: Date | null = null): NoticePlan {
  return { add, withdraw: watched.noticed.length > 0, troubleSince: null, noticed: [], dueAt }
}

function unchanged({ noticed, troubleSince }: WatchedCertificate) {
  return { add: null, withdraw: false, noticed, troubleSince: noticed.length === 0 ? null : troubleSince }
}

/** Soon after the next attempt: it may have changed nothing but the time that is left. */
function nextLook(next: Date, now: Date): Date {
  const at = Math.max(next.getTime(), now.getTime()) + MINUTE_MS
  return new Date(Math.min(at, now.getTime() + LOOK_MS))
}

function endOf(active: WatchedCertificate['active'], now: Date): Date[] {
  return active === null || active.notAfter <= now ? [] : [active.notAfter]
}

function lifetimeOf({ notBefore, notAfter }: { notBefore: Date; notAfter: Date }): number {
  return notAfter.getTime() - notBefore.getTime()
}
