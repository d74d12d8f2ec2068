import { expect, test } from 'vitest'
import { runtimes } from '../../test/listener-rig.ts'
import { fuzzRequests } from '../../test/request-fuzz.ts'

const REQUESTS = 10_000
const SEED = 20_261_125

test.each(runtimes)('ten thousand mutated requests on %s: no crash, and never another site', async (runtime) => {
  const { sent, statuses, wrong, isSameWorker } = await fuzzRequests(runtime, REQUESTS, SEED)
  expect([sent >= REQUESTS, wrong, isSameWorker]).toEqual([true, [], true])
  expect(statuses.get('400')).toBeGreaterThan(0)
})
