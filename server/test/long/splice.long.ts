import { randomInt } from 'node:crypto'
import { expect, test } from 'vitest'
import { fuzzAnswers } from '../splice-fuzz.ts'

const MUTATIONS = 1_000_000

/** A million mutated answers of upstreams through the byte path. `FUZZ_SEED` repeats a run. */
test('a million mutated answers', () => {
  const seed = Number(process.env.FUZZ_SEED ?? randomInt(2 ** 31))
  const counts = fuzzAnswers(seed, MUTATIONS)
  expect(counts.whole + counts.refused + counts.broken, `seed ${seed}`).toBe(MUTATIONS)
})
