import { expect, test } from 'vitest'
import { renewUnderFaults } from '../renewals.ts'

test('certificates that live for two minutes are renewed at a Pebble in trouble, and no visitor sees one that has expired', async () => {
  const result = await renewUnderFaults({ names: 12, lifetimeSeconds: 120, renewals: 2 })
  expect(result.expired).toEqual([])
  expect(result.failedHandshakes).toBe(0)
  expect(result.fewest).toBeGreaterThanOrEqual(2)
}, 300_000)
