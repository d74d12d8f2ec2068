import { randomInt } from 'node:crypto'
import { expect, test } from 'vitest'
import { runtimes } from '../listener-rig.ts'
import { fuzzRequests } from '../request-fuzz.ts'

const REQUESTS = 500_000

/** A million mutated requests, half of them on each runtime. `FUZZ_SEED` repeats a run. */
test.each(runtimes)('half a million mutated requests on %s', { timeout: 3_600_000 }, async (runtime) => {
  const seed = Number(process.env.FUZZ_SEED ?? randomInt(2 ** 31))
  const { sent, wrong, isSameWorker } = await fuzzRequests(runtime, REQUESTS, seed)
  expect([sent >= REQUESTS, wrong, isSameWorker], `seed ${seed}`).toEqual([true, [], true])
})
