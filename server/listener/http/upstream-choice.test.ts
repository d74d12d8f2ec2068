import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  afterCheck,
  afterChoice,
  afterFailure,
  afterSuccess,
  FAILURE_WINDOW_MS,
  FAILURES_TO_OUT,
  FIRST_OUT_MS,
  type Health,
  healthy,
  isOpen,
  LONGEST_OUT_MS,
  TRIAL_MS,
} from './upstream-health.ts'
import { createTurns } from './upstream-turns.ts'

describe('turns', () => {
  const all = (): boolean => true
  const run = (weights: number[], count: number): number[] => {
    const turns = createTurns(weights)
    return Array.from({ length: count }, () => turns.next(all))
  }

  test('are spread out as in the well-known example', () => expect(run([5, 1, 1], 7)).toEqual([0, 0, 1, 0, 2, 0, 0]))
  test('one without a weight has none, unless nobody has', () => {
    expect(new Set(run([0, 2, -1], 10))).toEqual(new Set([1]))
    expect(run([0, 0], 4)).toEqual([0, 1, 0, 1])
    expect(run([], 1)).toEqual([-1])
  })

  const weights = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 6 })
  test('every one gets exactly its weight of each round, and never more than one ahead of its share', () => {
    fc.assert(
      fc.property(weights, (list) => {
        const total = list.reduce((sum, weight) => sum + weight, 0)
        const counts = list.map(() => 0)
        run(list, total * 2).forEach((at, turn) => {
          counts[at] = (counts[at] as number) + 1
          expect(counts[at]).toBeLessThan(((turn + 1) * (list[at] as number)) / total + 1)
          if (turn === total - 1) expect(counts).toEqual(list)
        })
        expect(counts).toEqual(list.map((weight) => weight * 2))
      }),
    )
  })

  test('only open ones are chosen, and one is while there is one', () => {
    fc.assert(
      fc.property(weights, fc.array(fc.integer({ min: 0, max: 63 })), (list, masks) => {
        const turns = createTurns(list)
        for (const mask of masks) {
          const isOpenAt = (at: number): boolean => (mask & (1 << at)) !== 0
          const chosen = turns.next(isOpenAt)
          if (list.some((_, at) => isOpenAt(at))) expect(isOpenAt(chosen)).toBe(true)
          else expect(chosen).toBe(-1)
        }
      }),
    )
  })
})

describe('health', () => {
  const fail = (health: Health, ...times: number[]): Health => times.reduce(afterFailure, health)
  const outOnce = fail(healthy, 1, 2, 3)

  test('failures in a window take it out, those of long ago do not', () => {
    expect(isOpen(fail(healthy, 1, 2), 3)).toBe(true)
    expect(isOpen(outOnce, 4)).toBe(false)
    expect(isOpen(fail(healthy, 1, 2, 2 + FAILURE_WINDOW_MS), 3 + FAILURE_WINDOW_MS)).toBe(true)
  })

  test('one that fails now and then between answers is taken out as well', () => {
    expect(isOpen(fail(afterSuccess(fail(healthy, 1, 2)), 3), 4)).toBe(false)
  })

  test('one trial brings it back, and only one is under way', () => {
    const over = outOnce.outUntilMs
    expect(isOpen(outOnce, over)).toBe(true)
    const onTrial = afterChoice(outOnce, over)
    expect(isOpen(onTrial, over + 1)).toBe(false)
    expect(isOpen(afterSuccess(onTrial), over + 1)).toBe(true)
    expect(isOpen(onTrial, over + TRIAL_MS)).toBe(true)
  })

  test('a trial that fails makes the next time out longer, up to the longest', () => {
    let health = outOnce
    let now = 3
    const spans: number[] = []
    for (let turn = 0; turn < 8; turn += 1) {
      spans.push(health.outUntilMs - now)
      now = health.outUntilMs
      health = afterFailure(afterChoice(health, now), now)
    }
    expect(spans).toEqual([1, 2, 4, 8, 16, 24, 24, 24].map((times) => times * FIRST_OUT_MS))
    expect(LONGEST_OUT_MS).toBe(24 * FIRST_OUT_MS)
  })

  test('what ends badly while it is out changes nothing', () => expect(afterFailure(outOnce, 4)).toBe(outOnce))

  test('checks: two that fail take it out, one that is well brings it back from anything', () => {
    const once = afterCheck(healthy, false)
    expect(isOpen(once, 0)).toBe(true)
    const twice = afterCheck(once, false)
    expect(isOpen(twice, 0)).toBe(false)
    expect(isOpen(afterSuccess(twice), 0)).toBe(false)
    expect(isOpen(afterCheck(twice, true), 0)).toBe(true)
    expect(isOpen(afterCheck(outOnce, true), 4)).toBe(true)
  })

  test('whatever happens, it comes back by itself', () => {
    const step = fc.tuple(fc.constantFrom('fail', 'succeed', 'choose'), fc.integer({ min: 0, max: 30_000 }))
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        let now = 0
        let health = healthy
        for (const [what, ms] of steps) {
          now += ms
          if (what === 'choose') health = afterChoice(health, now)
          else health = what === 'fail' ? afterFailure(health, now) : afterSuccess(health)
          expect(health.failures.length).toBeLessThan(FAILURES_TO_OUT)
        }
        expect(isOpen(health, now + LONGEST_OUT_MS + TRIAL_MS)).toBe(true)
      }),
    )
  })
})
