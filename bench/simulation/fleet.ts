import type { PlannedCertificate } from '../../server/control/certificates/plan.ts'
import { renewAt } from '../../server/control/certificates/renewal.ts'
import type { Random } from '../../server/control/certificates/schedule.ts'

const DAY_MS = 86_400_000
const LIFETIME_MS = 45 * DAY_MS
/** Certificates were issued over the time in which they are not due yet. */
const ISSUED_OVER_MS = 30 * DAY_MS
/** Of one hundred names, so many stand under a domain with 40 names, the others each under their own. */
const SHARED_PERCENT = 40
const NAMES_OF_SHARED = 40

/** One certificate of the fleet with what its row would hold. */
export type Member = {
  readonly number: number
  readonly name: string
  readonly tenant: number
  readonly isBroken: boolean
  /** ms of virtual time; null before the first. */
  notBefore: number | null
  notAfter: number | null
  renewAt: number | null
  window: { start: Date; end: Date; selectedAt: Date } | null
  pollAt: number | null
  failures: number
  turn: bigint | null
  wasExpired: boolean
}

/** The name of a member: some share a registered domain. */
function nameOf(number: number): string {
  const isShared = number % 100 < SHARED_PERCENT
  const domain = isShared
    ? `shared${Math.floor(number / 100)}-${Math.floor((number % 100) / NAMES_OF_SHARED)}`
    : `own${number}`
  return `n${number}.${domain}.test`
}

/** A member without a certificate. */
export function newMember(number: number, brokenPercent: number): Member {
  return {
    number,
    name: nameOf(number),
    tenant: Math.floor(number / 100),
    isBroken: (number * 7919) % 1_000 < brokenPercent * 10,
    notBefore: null,
    notAfter: null,
    renewAt: null,
    window: null,
    pollAt: null,
    failures: 0,
    turn: null,
    wasExpired: false,
  }
}

/** Gives a member a certificate that was issued at a time. */
export function equip(member: Member, issuedAt: number, random: Random): void {
  member.notBefore = issuedAt
  member.notAfter = issuedAt + LIFETIME_MS
  member.renewAt = renewAt(validityOf(member), random).getTime()
  member.window = null
  member.failures = 0
}

/** A fleet whose certificates were issued at random times before the start. */
export function createFleet(size: number, start: number, brokenPercent: number, random: Random): Member[] {
  return Array.from({ length: size }, (_, number) => {
    const member = newMember(number, brokenPercent)
    equip(member, start - random() * ISSUED_OVER_MS, random)
    return member
  })
}

/** From when to when its certificate is valid. Only for a member that has one. */
export function validityOf({ notBefore, notAfter }: Member): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(notBefore ?? 0), notAfter: new Date(notAfter ?? 0) }
}

/** A member as the planner sees its row. */
export function plannedOf(member: Member): PlannedCertificate {
  const hasOne = member.notBefore !== null
  return {
    names: [member.name],
    state: hasOne ? 'valid' : 'wanted',
    source: 'issued',
    active: hasOne ? { issuerId: 'ca', ...validityOf(member) } : null,
    openOrder: null,
    hostnames: ['verified'],
    renewAt: member.renewAt === null ? null : new Date(member.renewAt),
    window: member.window,
    pollAt: member.pollAt === null ? null : new Date(member.pollAt),
    isRehearsing: false,
    preferredIssuerIds: [],
    shunned: {},
    provesByDns: false,
  }
}
