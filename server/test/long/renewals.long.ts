import { expect, test } from 'vitest'
import { renewUnderFaults } from '../renewals.ts'

const NAMES = Number(process.env['LONG_NAMES'] ?? 1_000)
const LIFETIME_SECONDS = Number(process.env['LONG_LIFETIME_SECONDS'] ?? 480)

test(`${NAMES} certificates of ${LIFETIME_SECONDS} s are each renewed three times at a Pebble in trouble, and none expires`, async () => {
  const result = await renewUnderFaults({ names: NAMES, lifetimeSeconds: LIFETIME_SECONDS, renewals: 3 })
  console.log(JSON.stringify(result))
  expect(result.expired).toEqual([])
  expect(result.failedHandshakes).toBe(0)
  expect(result.fewest).toBeGreaterThanOrEqual(3)
  expect(result.restarts).toBeGreaterThan(0)
})
