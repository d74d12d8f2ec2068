import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { usualWaitMs } from './loop.ts'
import { type NoticeKind, type NoticePlan, planNotices, type WatchedCertificate } from './plan.ts'
import { type PlatformWatchRow, planPlatform } from './platform-plan.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
const start = new Date('2026-01-01T00:00:00Z')
const later = (ms: number, from = start): Date => new Date(from.getTime() + ms)

function certificate(some: Partial<WatchedCertificate> = {}): WatchedCertificate {
  return {
    source: 'issued',
    state: 'failing',
    problemCode: 'CONNECTION',
    active: null,
    lostNames: [],
    troubleSince: null,
    noticed: [],
    wasTold: false,
    ...some,
  }
}

/** What the rows say after a plan was kept. */
function kept(watched: WatchedCertificate, plan: NoticePlan): WatchedCertificate {
  return { ...watched, troubleSince: plan.troubleSince, noticed: plan.noticed }
}

const lifetimes = fc.oneof(
  fc.integer({ min: 1, max: 48 }).map((hours) => hours * HOUR_MS),
  fc.integer({ min: 2, max: 398 }).map((days) => days * DAY_MS),
)
const ranks: readonly NoticeKind[] = ['failing', 'attempts-7', 'attempts-3', 'attempts-1', 'expired']

type Told = { readonly kind: NoticeKind; readonly leftMs: number }

/** A renewal that fails until the end: looked at when the plan asks for it, and at other times too. */
function failToTheEnd(lifetimeMs: number, code: string, others: readonly number[]): Told[] {
  const notAfter = later(lifetimeMs)
  const told: Told[] = []
  const firstMs = renewalOf(lifetimeMs)
  let now = later(firstMs)
  let watched = certificate({ active: { notBefore: start, notAfter }, problemCode: code })
  const extra = others.map((share) => later(firstMs + (lifetimeMs - firstMs) * share)).sort((a, b) => +a - +b)
  for (let looks = 0; looks < 100; looks += 1) {
    const plan = planNotices(watched, now, usualWaitMs)
    if (plan.add !== null) told.push({ kind: plan.add, leftMs: notAfter.getTime() - now.getTime() })
    watched = kept(watched, plan)
    // A restart between two looks tells nothing twice.
    expect(planNotices(watched, now, usualWaitMs)).toMatchObject({ add: null, withdraw: false })
    if (now >= notAfter) return told
    const dueAt = plan.dueAt ?? notAfter
    expect(dueAt.getTime()).toBeGreaterThan(now.getTime())
    now = extra.find((at) => at > now && at < dueAt) ?? dueAt
  }
  throw new Error('the trouble did not end')
}

/** A third of the lifetime is left, half of a short one. */
function renewalOf(lifetimeMs: number): number {
  return lifetimeMs * (lifetimeMs < 10 * DAY_MS ? 1 / 2 : 2 / 3)
}

describe('a renewal that fails to the end', () => {
  test('is told of at once, then when seven, three and one attempts are left, whatever the lifetime', () => {
    const shares = fc.array(fc.double({ min: 0.001, max: 0.999, noNaN: true }), { maxLength: 10 })
    fc.assert(
      fc.property(lifetimes, shares, (lifetimeMs, others) => {
        const told = failToTheEnd(lifetimeMs, 'CONNECTION', others)
        expect(told.map(({ kind }) => kind)).toEqual(ranks)
        const worthMs = Math.min(DAY_MS, lifetimeMs / 30)
        for (const [at, worths] of [7, 3, 1, 0].entries()) {
          const leftMs = told[at + 1]?.leftMs ?? Number.NaN
          // A date holds whole milliseconds.
          expect(Math.abs(leftMs - worths * worthMs)).toBeLessThanOrEqual(1)
        }
        expect(told[0]?.leftMs).toBeGreaterThanOrEqual(9 * worthMs)
      }),
    )
  })

  test('of 90 days: when it fails first, then at seven, three and one day, and at the end', () => {
    const told = failToTheEnd(90 * DAY_MS, 'CONNECTION', [])
    expect(told.map(({ leftMs }) => leftMs / DAY_MS)).toEqual([30, 7, 3, 1, 0])
  })

  test('by the fault of the CA: nothing at first, the time that runs out all the same', () => {
    const told = failToTheEnd(90 * DAY_MS, 'ISSUER_UNREACHABLE', [])
    expect(told.map(({ kind }) => kind)).toEqual(['attempts-7', 'attempts-3', 'attempts-1', 'expired'])
  })

  test('for a reason that is not known here: when it lasts', () => {
    const [first] = failToTheEnd(90 * DAY_MS, 'SOMETHING_NEW', [])
    expect(first).toEqual({ kind: 'failing', leftMs: 30 * DAY_MS - HOUR_MS })
  })
})

describe('a fault that heals within an hour', () => {
  test.each(['ISSUER_UNREACHABLE', 'RATE_LIMITED', 'EDGES_UNCONFIRMED', 'SOMETHING_NEW'])(
    '%s is never told',
    (code) => {
      fc.assert(
        fc.property(fc.integer({ min: 0, max: HOUR_MS - 1 }), fc.boolean(), (healedMs, isFirst) => {
          const active = isFirst ? null : { notBefore: start, notAfter: later(45 * DAY_MS) }
          let watched = certificate({ problemCode: code, active })
          const first = planNotices(watched, start, usualWaitMs)
          watched = kept(watched, first)
          const second = planNotices(watched, later(healedMs), usualWaitMs)
          watched = { ...kept(watched, second), state: 'valid', problemCode: null }
          const third = planNotices(watched, later(healedMs + 1), usualWaitMs)
          expect([first.add, second.add, third.add]).toEqual([null, null, null])
          expect(third).toMatchObject({ troubleSince: null, noticed: [], dueAt: null })
        }),
      )
    },
  )
})

describe('the end of a trouble', () => {
  const mended = certificate({ state: 'valid', problemCode: null, troubleSince: start, noticed: ['failing'] })
  test('is told when a mail told of the trouble', () => {
    expect(planNotices({ ...mended, wasTold: true }, later(1), usualWaitMs)).toEqual({
      add: 'recovered',
      withdraw: true,
      troubleSince: null,
      noticed: [],
      dueAt: null,
    })
  })
  test('takes the notice back when no mail did', () => {
    expect(planNotices(mended, later(1), usualWaitMs)).toMatchObject({ add: null, withdraw: true, noticed: [] })
  })
  test('is not told while the new certificate is only ordered', () => {
    const ordered = { ...mended, state: 'ordering', wasTold: true }
    expect(planNotices(ordered, later(1), usualWaitMs)).toMatchObject({
      add: null,
      withdraw: false,
      noticed: ['failing'],
    })
  })
  test('a second trouble is told anew', () => {
    const again = certificate({ troubleSince: null, noticed: [] })
    expect(planNotices(again, later(DAY_MS), usualWaitMs)).toMatchObject({
      add: 'failing',
      troubleSince: later(DAY_MS),
    })
  })
})

describe('a retired certificate', () => {
  test('whose names the tenant still has is told of once', () => {
    const watched = certificate({ state: 'retired', problemCode: null, lostNames: ['a.test'], noticed: ['failing'] })
    const plan = planNotices(watched, start, usualWaitMs)
    expect(plan.add).toBe('retired')
    expect(planNotices(kept(watched, plan), later(1), usualWaitMs).add).toBeNull()
  })
  test('whose names were removed is not, and what was not told yet is taken back', () => {
    const watched = certificate({ state: 'retired', noticed: ['failing'] })
    expect(planNotices(watched, start, usualWaitMs)).toMatchObject({ add: null, withdraw: true, dueAt: null })
  })
})

test('an uploaded certificate is warned of in shares of its lifetime, each once', () => {
  fc.assert(
    fc.property(lifetimes, (lifetimeMs) => {
      const notAfter = later(lifetimeMs)
      let watched = certificate({
        source: 'uploaded',
        state: 'valid',
        problemCode: null,
        active: { notBefore: start, notAfter },
      })
      const told: NoticeKind[] = []
      for (let now: Date | null = start; now !== null; ) {
        const plan: NoticePlan = planNotices(watched, now, usualWaitMs)
        if (plan.add !== null) told.push(plan.add)
        watched = kept(watched, plan)
        if (plan.dueAt !== null) expect(plan.dueAt.getTime()).toBeGreaterThan(now.getTime())
        now = plan.dueAt
      }
      expect(told).toEqual(['expires-21', 'expires-7', 'expires-3', 'expires-1', 'expired'])
    }),
  )
  // A year: three weeks, one week, three days, a day.
  const year = certificate({
    source: 'uploaded',
    state: 'valid',
    problemCode: null,
    active: { notBefore: start, notAfter: later(365 * DAY_MS) },
  })
  expect(planNotices(year, start, usualWaitMs).dueAt).toEqual(later(344 * DAY_MS))
})

describe('the platform', () => {
  const trouble = { key: 'issuer:1', subject: 'issuer', reason: 'down', patienceMs: HOUR_MS }
  test('is told of once when it has lasted, then of its end', () => {
    let rows: readonly PlatformWatchRow[] = []
    const seen: string[] = []
    for (let minutes = 0; minutes <= 120; minutes += 1) {
      const isDown = minutes < 100
      const plan = planPlatform(isDown ? [trouble] : [], rows, later(minutes * MINUTE_MS))
      rows = plan.keep
      for (const { kind } of plan.add) seen.push(`${minutes} ${kind}`)
    }
    expect(seen).toEqual(['60 platform-failing', '100 platform-recovered'])
  })
  test('is not told of what ends before', () => {
    const first = planPlatform([trouble], [], start)
    const second = planPlatform([], first.keep, later(HOUR_MS - 1))
    expect([first.add, second.add, second.drop]).toEqual([[], [], ['issuer:1']])
  })
})
