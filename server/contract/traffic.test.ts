import { describe, expect, test } from 'vitest'
import { addCounts, isTrafficRow, trafficFields } from './traffic.ts'

const ours = trafficFields.length
const counts = (length: number): number[] => new Array<number>(length).fill(1)

describe('a row of counters', () => {
  test('may come from a version with more fields or fewer', () => {
    for (const length of [1, ours - 1, ours, ours + 1, 64])
      expect(isTrafficRow({ siteId: 'a', hour: 1, counts: counts(length) })).toBe(true)
  })

  test.each([
    { siteId: 'a', hour: 1, counts: [] },
    { siteId: 'a', hour: 1, counts: counts(65) },
    { siteId: 'a', hour: 1, counts: [1, -1] },
    { siteId: 'a', hour: 1, counts: [1, 0.5] },
    { siteId: 'a', hour: 1, counts: '1' },
    { siteId: 'a', hour: -1, counts: [1] },
    { siteId: 'a'.repeat(65), hour: 1, counts: [1] },
    null,
  ])('is none: %o', (value) => {
    expect(isTrafficRow(value)).toBe(false)
  })

  test('is added to a shorter one and to a longer one, and loses nothing', () => {
    const sum: number[] = []
    addCounts(sum, [1])
    addCounts(sum, counts(ours + 2))
    addCounts(sum, counts(ours))
    expect(sum).toEqual([3, ...new Array<number>(ours - 1).fill(2), 1, 1])
  })
})
