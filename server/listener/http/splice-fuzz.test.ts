import { expect, test } from 'vitest'
import { fuzzAnswers } from '../../test/splice-fuzz.ts'

test('mutated answers of upstreams: each ends once, and none that is not whole looks so', () => {
  const counts = fuzzAnswers(20_261_125, 4_000)
  expect(Math.min(counts.whole, counts.refused, counts.broken)).toBeGreaterThan(10)
})
