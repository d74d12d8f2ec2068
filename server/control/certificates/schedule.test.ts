import { expect, test } from 'vitest'
import { type RetryKind, retryDelayMs } from './schedule.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

const delay = (kind: RetryKind, failures: number, value: number, rest: { asked?: number; remaining?: number } = {}) =>
  retryDelayMs({ kind, failures, retryAfterMs: rest.asked ?? null, remainingMs: rest.remaining ?? null }, () => value)

test.each([
  ['backoff', [60, 600, 6_000, 86_400, 86_400]],
  ['soon', [30, 60, 120, 300, 600, 600]],
  ['again', [0, 30, 60, 120, 300, 600, 600]],
  ['hourly', [3_600, 3_600]],
  ['departed', [60, 6_000, 86_400, 259_200, 604_800, 604_800]],
] as const)('failures are tried again as %s says, within a fifth', (kind, seconds) => {
  for (const [index, expected] of seconds.entries()) {
    expect(delay(kind, index + 1, 0.5)).toBe(expected * 1_000)
    expect(delay(kind, index + 1, 0)).toBe(expected * 800)
    expect(delay(kind, index + 1, 0.9999)).toBeLessThanOrEqual(expected * 1_200)
  }
})

test('what the CA asks for is waited for, but never more than a day', () => {
  expect(delay('backoff', 1, 0.5, { asked: 3 * HOUR_MS })).toBe(3 * HOUR_MS)
  expect(delay('backoff', 1, 0.5, { asked: 1_000 })).toBe(60_000)
  expect(delay('soon', 1, 0.5, { asked: 400 * DAY_MS })).toBe(DAY_MS)
})

test('what is served does not lapse while its next attempt waits', () => {
  expect(delay('backoff', 4, 0.5, { remaining: 2 * HOUR_MS })).toBe(HOUR_MS / 2)
  expect(delay('departed', 9, 0.5, { remaining: 40 * DAY_MS })).toBe(7 * DAY_MS)
  expect(delay('backoff', 4, 0.5, { remaining: -1 })).toBe(DAY_MS)
})
