import fc from 'fast-check'
import { expect, test } from 'vitest'
import { median, quantile, ratioOf, summarise } from './statistics.ts'

test.each([
  [[3], 3],
  [[3, 1], 2],
  [[5, 1, 9], 5],
  [[4, 1, 3, 2], 2.5],
])('the middle of %j is %d', (values, middle) => {
  expect(median(values)).toBe(middle)
})

test('the middle of nothing is no number', () => {
  expect(median([])).toBeNaN()
  expect(quantile([], 0.5)).toBeNaN()
})

test('quantiles are values that were measured, by nearest rank', () => {
  const values = Array.from({ length: 100 }, (_, index) => 100 - index)
  expect([0, 0.5, 0.99, 1].map((share) => quantile(values, share))).toEqual([1, 50, 99, 100])
})

test('a quantile has the share of values at or below it', () => {
  const values = fc.array(fc.integer(), { minLength: 1 })
  fc.assert(
    fc.property(values, fc.double({ min: 0, max: 1, noNaN: true }), (list, share) => {
      const found = quantile(list, share)
      expect(list.filter((value) => value <= found).length).toBeGreaterThanOrEqual(share * list.length - 1e-9)
      expect(list).toContain(found)
    }),
  )
})

test('failed rounds do not count', () => {
  expect(summarise([null, 10, 30, null, 20])).toEqual({ rounds: 3, best: 30, median: 20 })
  expect(summarise([null, null])).toBeNull()
})

test('a ratio is taken within a round, so that a slow round of both does not show', () => {
  expect(ratioOf([10, 100, 12], [5, 50, 6])).toEqual({ median: 2, best: 2 })
})

test('a round that one of the two has not is left out', () => {
  expect(ratioOf([null, 30, 100], [1, 10, null])).toEqual({ median: 3, best: 3 })
  expect(ratioOf([1, null], [null, 1])).toBeNull()
  expect(ratioOf([1], [])).toBeNull()
})
