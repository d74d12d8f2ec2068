import fc from 'fast-check'
import { expect, test } from 'vitest'
import { chooseInWindow, firstPoll, isUrgent, nextPoll, renewAt, renewalTime } from './renewal.ts'
import { retryDelayMs } from './schedule.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const START = new Date('2026-11-23T00:00:00Z')
const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
const lifetime = fc.integer({ min: HOUR_MS, max: 398 * DAY_MS })
const at = (ms: number): Date => new Date(START.getTime() + ms)
const valid = (lifetimeMs: number) => ({ notBefore: START, notAfter: at(lifetimeMs) })

/** Attempts that all fail, from the time of renewal to the end. */
function attempts(from: Date, notAfter: Date, value: number): number {
  let now = from.getTime()
  let failures = 0
  while (now < notAfter.getTime() && failures < 100) {
    failures += 1
    const remainingMs = notAfter.getTime() - now
    now += retryDelayMs({ kind: 'backoff', failures, retryAfterMs: null, remainingMs }, () => value)
  }
  return failures
}

test('any lifetime from an hour to 398 days is renewed in its life with three tries left, whatever the CA suggests', () => {
  fc.assert(
    fc.property(lifetime, random, fc.option(random), (lifetimeMs, value, suggested) => {
      const validity = valid(lifetimeMs)
      const selectedAt = suggested === null ? null : at(lifetimeMs * suggested * 2)
      const window = selectedAt === null ? null : { start: selectedAt, end: selectedAt, selectedAt }
      const time = renewalTime({ ...validity, renewAt: renewAt(validity, () => value), window })
      expect(time.getTime()).toBeLessThan(validity.notAfter.getTime())
      if (window === null) expect(time.getTime()).toBeGreaterThan(START.getTime() + lifetimeMs * 0.4)
      else if (window.selectedAt < at(lifetimeMs * 0.94)) expect(time).toEqual(window.selectedAt)
      expect(attempts(time, validity.notAfter, value)).toBeGreaterThanOrEqual(3)
    }),
    { numRuns: 1_000 },
  )
})

test('what was issued in one moment renews over a tenth of the lifetime', () => {
  const times = Array.from({ length: 1_000 }, (_, index) => renewAt(valid(90 * DAY_MS), () => index / 1_000).getTime())
  expect(Math.max(...times) - Math.min(...times)).toBeGreaterThan(8.9 * DAY_MS)
})

test('the chosen time is kept until the window moves, and lies in it; a window in the past means now', () => {
  const span = fc.integer({ min: -30 * DAY_MS, max: 30 * DAY_MS })
  fc.assert(
    fc.property(span, fc.integer({ min: 0, max: 5 * DAY_MS }), random, random, (begin, length, first, second) => {
      const offered = { start: at(begin), end: at(begin + length) }
      const chosen = chooseInWindow(offered, null, START, () => first)
      expect(chosen.selectedAt >= START).toBe(true)
      expect(chosen.selectedAt <= offered.end || chosen.selectedAt.getTime() === START.getTime()).toBe(true)
      expect(chooseInWindow(offered, chosen, at(HOUR_MS), () => second)).toBe(chosen)
      const moved = { start: at(begin + 1), end: offered.end }
      expect(chooseInWindow(moved, chosen, START, () => second)).not.toBe(chosen)
    }),
  )
})

test('the CA is polled as it asks, between an hour and twelve; a short life is looked at twenty times', () => {
  const long = valid(90 * DAY_MS)
  const wait = (validity: typeof long, asked: number | null) =>
    nextPoll(validity, asked, START, () => 0).getTime() - START.getTime()
  expect(wait(long, 6 * HOUR_MS)).toBe(6 * HOUR_MS)
  expect(wait(long, 1)).toBe(HOUR_MS)
  expect(wait(long, null)).toBe(12 * HOUR_MS)
  expect(wait(long, 9 * DAY_MS)).toBe(12 * HOUR_MS)
  expect(wait(valid(2 * HOUR_MS), 6 * HOUR_MS)).toBe(HOUR_MS / 10)
  expect(firstPoll(long, START, () => 0.999) < at(6 * HOUR_MS)).toBe(true)
})

test('a renewal is urgent with a sixth of the lifetime left', () => {
  const validity = valid(60 * DAY_MS)
  expect(isUrgent(validity, at(49 * DAY_MS))).toBe(false)
  expect(isUrgent(validity, at(50 * DAY_MS))).toBe(true)
})
