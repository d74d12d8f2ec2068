import fc from 'fast-check'
import { expect, test } from 'vitest'
import { earliestRenewal, renewAt, retryDelayMs } from './schedule.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const START = new Date('2026-11-23T00:00:00Z')
const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
const lifetime = fc.integer({ min: HOUR_MS, max: 398 * DAY_MS })

test('any lifetime from an hour to 398 days is renewed in its life, with time for three attempts left', () => {
  fc.assert(
    fc.property(lifetime, random, (lifetimeMs, value) => {
      const notAfter = new Date(START.getTime() + lifetimeMs)
      const at = renewAt(START, notAfter, () => value)
      const leftMs = notAfter.getTime() - at.getTime()
      expect(at.getTime()).toBeGreaterThan(START.getTime() + lifetimeMs * 0.4)
      expect(leftMs).toBeGreaterThan(lifetimeMs * 0.28)
      expect(at >= earliestRenewal(START, notAfter)).toBe(true)
      const twoFailuresMs =
        retryDelayMs('backoff', 1, null, () => value) + retryDelayMs('backoff', 2, null, () => value)
      expect(leftMs).toBeGreaterThan(twoFailuresMs)
    }),
  )
})

test('what was issued in one moment renews over a tenth of the lifetime', () => {
  const notAfter = new Date(START.getTime() + 90 * DAY_MS)
  const times = Array.from({ length: 1_000 }, (_, index) => renewAt(START, notAfter, () => index / 1_000).getTime())
  expect(Math.max(...times) - Math.min(...times)).toBeGreaterThan(8.9 * DAY_MS)
})

test.each([
  ['backoff', [60, 600, 6_000, 86_400, 86_400]],
  ['soon', [30, 60, 120, 300, 600, 600]],
  ['again', [0, 30, 60, 120, 300, 600, 600]],
  ['hourly', [3_600, 3_600]],
] as const)('failures are tried again as %s says, within a fifth', (kind, seconds) => {
  for (const [index, expected] of seconds.entries()) {
    expect(retryDelayMs(kind, index + 1, null, () => 0.5)).toBe(expected * 1_000)
    expect(retryDelayMs(kind, index + 1, null, () => 0)).toBe(expected * 800)
    expect(retryDelayMs(kind, index + 1, null, () => 0.9999)).toBeLessThanOrEqual(expected * 1_200)
  }
})

test('what the CA asks for is waited for, but never more than a day', () => {
  expect(retryDelayMs('backoff', 1, 3 * HOUR_MS, () => 0.5)).toBe(3 * HOUR_MS)
  expect(retryDelayMs('backoff', 1, 1_000, () => 0.5)).toBe(60_000)
  expect(retryDelayMs('soon', 1, 400 * DAY_MS, () => 0.5)).toBe(DAY_MS)
})
