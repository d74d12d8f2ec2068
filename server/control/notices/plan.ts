import { audienceOf } from './audience.ts'
import { attemptWorthMs, type UsualWaitMs } from './worth.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
/** A trouble that heals within an hour is nobody's business, but of a short certificate's life an hour is a lot. */
const QUIET_SHARE = 0.05

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
export function planNotices(watched: WatchedCertificate, now: Date, usualWaitMs: UsualWaitMs): NoticePlan {
  if (watched.state === 'retired') return planRetired(watched, now)
  if (watched.state === 'revoked') return over(watched, null)
  const { ripe, dueAt } =
    watched.source === 'uploaded'
      ? planUploaded(watched, now, usualWaitMs)
      : isTroubled(watched)
        ? planIssued(watched, now, usualWaitMs)
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
const nothing: Ripe = { ripe: null, dueAt: null }

/** Attempts' worth of time that is left when a kind is due. */
const issuedSteps = [
  ['attempts-7', 7],
  ['attempts-3', 3],
  ['attempts-1', 1],
  ['expired', 0],
] as const
const uploadedSteps = [
  ['expires-21', 21],
  ['expires-7', 7],
  ['expires-3', 3],
  ['expires-1', 1],
  ['expired', 0],
] as const

function planIssued(watched: WatchedCertificate, now: Date, usualWaitMs: UsualWaitMs): Ripe {
  const { active, problemCode } = watched
  const since = watched.troubleSince ?? now
  const quietMs = active === null ? HOUR_MS : Math.min(HOUR_MS, lifetimeOf(active) * QUIET_SHARE)
  const quietUntil = new Date(since.getTime() + quietMs)
  const audience = problemCode === null ? 'unknown' : audienceOf(problemCode)
  const ofTime = active === null ? nothing : ofRest(active, issuedSteps, now, usualWaitMs)
  if (audience !== 'tenant' && now < quietUntil && ofTime.ripe !== 'expired')
    return { ripe: null, dueAt: earlier(quietUntil, active?.notAfter ?? null) }
  const isTold = audience === 'tenant' || audience === 'unknown'
  return { ripe: ofTime.ripe ?? (isTold ? 'failing' : null), dueAt: ofTime.dueAt }
}

/** An upload is not renewed by any attempt, so it is warned of in good time whatever its state. */
function planUploaded({ active }: WatchedCertificate, now: Date, usualWaitMs: UsualWaitMs): Ripe {
  return active === null ? nothing : ofRest(active, uploadedSteps, now, usualWaitMs)
}

/** The step that the rest of a life has reached, and when the next one comes. */
function ofRest(
  active: NonNullable<WatchedCertificate['active']>,
  steps: readonly (readonly [NoticeKind, number])[],
  now: Date,
  usualWaitMs: UsualWaitMs,
): Ripe {
  const worthMs = attemptWorthMs(lifetimeOf(active), usualWaitMs)
  const times = steps.map(([kind, worths]) => [kind, new Date(active.notAfter.getTime() - worths * worthMs)] as const)
  const passed = times.filter(([, at]) => at <= now)
  return { ripe: passed.at(-1)?.[0] ?? null, dueAt: times[passed.length]?.[1] ?? null }
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

function earlier(one: Date, other: Date | null): Date {
  return other !== null && other < one ? other : one
}

function lifetimeOf({ notBefore, notAfter }: { notBefore: Date; notAfter: Date }): number {
  return notAfter.getTime() - notBefore.getTime()
}
