import { classOf } from '../../server/control/certificates/admission.ts'
import { afterFailure, type Circuit, openUntil } from '../../server/control/certificates/circuit.ts'
import { limitsOf } from '../../server/control/certificates/limits.ts'
import { type Action, planCertificate } from '../../server/control/certificates/plan.ts'
import { chooseInWindow, firstPoll, nextPoll } from '../../server/control/certificates/renewal.ts'
import { type RetryKind, retryDelayMs } from '../../server/control/certificates/schedule.ts'
import { Agenda } from './agenda.ts'
import { Desk } from './desk.ts'
import { createFleet, equip, type Member, newMember, plannedOf, validityOf } from './fleet.ts'
import { createVirtualCa, type Outage } from './virtual-ca.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const ORDER_MS = 8_000
const FAILED_ORDER_MS = 4_000
const POLL_MS = 200
const PARALLELISM = 32
const FAILING_SHARE = 1 / 2
/** How often the manager looks at the queue. */
const PASS_MS = 5_000
const CA_RETRY_AFTER_MS = 6 * HOUR_MS
const WAKE_SPREAD_MS = 60_000

/** What is simulated. */
export type Scenario = {
  readonly size: number
  readonly days: number
  readonly newPerDay: number
  readonly brokenPercent: number
  readonly outages: readonly Outage[]
  readonly revocationAt: number
  readonly revokedPercent: number
  readonly seed: number
}

/** What came of it. */
export type Outcome = {
  expired: number
  issued: number
  failed: number
  polls: number
  refusals: number
  exceeded: number
  longestQueue: number
  /** Orders of each hour. */
  readonly ordersByHour: number[]
  /** Virtual time in which the last of the revoked ones was replaced, after the revocation. */
  revokedReplacedMs: number
}

/** Some months of a fleet in virtual time, by the planner, policy and ledger that the product runs. All chance is seeded. */
export function simulate(scenario: Scenario): Outcome {
  return new Simulation(scenario).run()
}

class Simulation {
  private now = 0
  private readonly random: () => number
  private readonly due = new Agenda<Member>()
  private readonly failingDue = new Agenda<Member>()
  private readonly finishing = new Agenda<() => void>()
  private readonly limits = limitsOf({ directoryUrl: 'https://acme-v02.api.letsencrypt.org/directory', limits: null })
  private readonly desk = new Desk(this.limits)
  private readonly ca
  private circuit: Circuit | null = null
  private running = 0
  private failingRunning = 0
  private members: Member[] = []
  private readonly outcome: Outcome
  private readonly scenario: Scenario

  constructor(scenario: Scenario) {
    this.scenario = scenario
    this.random = seeded(scenario.seed)
    const { revocationAt, revokedPercent } = scenario
    this.ca = createVirtualCa({
      clock: () => this.now,
      outages: scenario.outages,
      revocationAt,
      isRevoked: (number, notBefore) => notBefore < revocationAt && number % 100 < revokedPercent,
    })
    const ordersByHour = Array.from({ length: scenario.days * 24 + 1 }, () => 0)
    this.outcome = {
      expired: 0,
      issued: 0,
      failed: 0,
      polls: 0,
      refusals: 0,
      exceeded: 0,
      longestQueue: 0,
      ordersByHour,
      revokedReplacedMs: 0,
    }
  }

  run(): Outcome {
    const { size, days, newPerDay, brokenPercent } = this.scenario
    this.members = createFleet(size, 0, brokenPercent, this.random)
    for (const member of this.members) {
      member.pollAt = this.random() * CA_RETRY_AFTER_MS
      this.due.add(member.pollAt, member)
    }
    for (let index = 0; index < newPerDay * days; index += 1) {
      const member = newMember(size + index, brokenPercent)
      this.members.push(member)
      // Customers come in working hours, some of them with a hundred names at once.
      this.due.add((Math.floor(index / newPerDay) + 1 / 3 + (this.random() * 1) / 3) * DAY_MS, member)
    }
    this.loop(days * DAY_MS)
    for (const member of this.members) this.noteExpiry(member)
    this.outcome.exceeded = this.ca.exceeded()
    this.outcome.longestQueue = this.desk.longestQueue
    return this.outcome
  }

  private loop(end: number): void {
    let nextPass = 0
    while (this.now < end) {
      while ((this.finishing.next ?? Number.POSITIVE_INFINITY) <= this.now) this.finishing.take().item()
      this.start()
      const times = [
        this.finishing.next,
        this.running < PARALLELISM ? this.due.next : null,
        this.mayFail() ? this.failingDue.next : null,
      ]
      this.now = Math.min(
        end,
        Math.max(this.now, Math.min(nextPass, ...times.map((time) => time ?? Number.POSITIVE_INFINITY))),
      )
      if (this.now < nextPass) continue
      for (const member of this.desk.next(new Date(this.now))) this.due.add(this.now, member)
      nextPass = this.now + PASS_MS
    }
  }

  private mayFail(): boolean {
    return this.running < PARALLELISM && this.failingRunning < PARALLELISM * FAILING_SHARE
  }

  private start(): void {
    while (this.running < PARALLELISM && (this.due.next ?? Number.POSITIVE_INFINITY) <= this.now)
      this.work(this.due.take().item)
    while (this.mayFail() && (this.failingDue.next ?? Number.POSITIVE_INFINITY) <= this.now)
      this.work(this.failingDue.take().item)
  }

  private later(member: Member, time: number): void {
    if (member.failures > 0) this.failingDue.add(time, member)
    else this.due.add(time, member)
  }

  private work(member: Member): void {
    const now = new Date(this.now)
    const failingSince = this.circuit === null ? null : new Date(this.circuit.since)
    const issuer = {
      id: 'ca',
      kind: 'acme',
      isEnabled: true,
      priority: 1,
      circuitOpenUntil: openUntil(this.circuit, now),
      failingSince,
    } as const
    const action = planCertificate(plannedOf(member), [issuer], now)
    if (action.kind === 'wait')
      this.later(member, action.until.getTime() + (action.isFresh ? 0 : this.random() * WAKE_SPREAD_MS))
    else if (action.kind === 'ask') this.ask(member)
    else if (action.kind === 'order') this.order(member, action, now)
    else throw new Error(`nothing in this simulation leads to "${action.kind}"`)
  }

  private occupy(ms: number, isFailing: boolean, then: () => void): void {
    this.running += 1
    if (isFailing) this.failingRunning += 1
    this.finishing.add(this.now + ms, () => {
      this.running -= 1
      if (isFailing) this.failingRunning -= 1
      then()
    })
  }

  private ask(member: Member): void {
    this.occupy(POLL_MS, member.failures > 0, () => {
      const now = new Date(this.now)
      const validity = validityOf(member)
      const isDown = this.ca.isDown(this.now)
      this.outcome.polls += 1
      if (!isDown) {
        const { start, end } = this.ca.window(member.number, member.notBefore ?? 0, member.notAfter ?? 0, this.now)
        member.window = chooseInWindow({ start: new Date(start), end: new Date(end) }, member.window, now, this.random)
      }
      member.pollAt = nextPoll(validity, isDown ? null : CA_RETRY_AFTER_MS, now, this.random).getTime()
      this.later(member, this.now)
    })
  }

  private order(member: Member, attempt: Extract<Action, { kind: 'order' }>, now: Date): void {
    const isReplacement = attempt.reason === 'renewal'
    const wish = {
      member,
      names: [member.name],
      isExempt: this.limits.exemptsReplacements && isReplacement,
      class: classOf(attempt),
    }
    const answer = this.desk.admit(wish, now)
    if (answer.kind === 'queued') return
    if (answer.kind === 'blocked') {
      this.later(member, answer.until + 1_000)
      return
    }
    this.place(member, isReplacement)
  }

  private place(member: Member, isReplacement: boolean): void {
    const hour = Math.floor(this.now / HOUR_MS)
    this.outcome.ordersByHour[hour] = (this.outcome.ordersByHour[hour] ?? 0) + 1
    const isFailing = member.failures > 0
    if (this.ca.isDown(this.now)) {
      this.occupy(FAILED_ORDER_MS, isFailing, () => this.fail(member, 'soon'))
      return
    }
    const refused = this.ca.order(member.name, isReplacement)
    if (refused !== null) this.outcome.refusals += 1
    if (refused === null && !member.isBroken) this.occupy(ORDER_MS, isFailing, () => this.finish(member, isReplacement))
    else
      this.occupy(FAILED_ORDER_MS, isFailing, () => {
        if (refused === null) this.ca.validated(member.name, false)
        this.fail(member, 'backoff')
      })
  }

  private finish(member: Member, isReplacement: boolean): void {
    this.ca.validated(member.name, true)
    this.ca.issued(member.name, isReplacement)
    this.circuit = null
    this.noteExpiry(member)
    const { revocationAt, revokedPercent } = this.scenario
    if (
      this.now > revocationAt &&
      (member.notBefore ?? this.now) < revocationAt &&
      member.number % 100 < revokedPercent
    )
      this.outcome.revokedReplacedMs = Math.max(this.outcome.revokedReplacedMs, this.now - revocationAt)
    equip(member, this.now, this.random)
    member.pollAt = firstPoll(validityOf(member), new Date(this.now), this.random).getTime()
    this.outcome.issued += 1
    this.later(member, member.pollAt)
  }

  private fail(member: Member, kind: RetryKind): void {
    const now = new Date(this.now)
    if (kind === 'soon') this.circuit = afterFailure(this.circuit, { code: 'DOWN', detail: '' }, now, this.random)
    else {
      this.circuit = null
      this.desk.fail(member.name, now)
    }
    this.outcome.failed += 1
    member.failures += 1
    const remainingMs = member.notAfter === null ? null : member.notAfter - this.now
    const waitMs = retryDelayMs({ kind, failures: member.failures, retryAfterMs: null, remainingMs }, this.random)
    this.later(member, this.now + waitMs)
  }

  /** A certificate that was still in use when it expired. Names that are broken cannot be renewed by anybody. */
  private noteExpiry(member: Member): void {
    const isExpired = member.notAfter !== null && member.notAfter <= this.now
    if (isExpired && !member.isBroken && !member.wasExpired) {
      member.wasExpired = true
      this.outcome.expired += 1
    }
  }
}

/** Mulberry32: small, and the same everywhere. */
function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
