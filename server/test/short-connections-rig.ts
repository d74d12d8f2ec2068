import { expect } from 'vitest'
import type { Runtime } from '../listener/worker-command.ts'
import { createTestAuthority } from './certificates.ts'
import { nameRecord, siteRecord, startListenerRig } from './listener-rig.ts'
import { makeShortConnections } from './short-connections.ts'

/** What garbage that is not collected yet may come to. */
const MOST_GROWTH_BYTES = 48 * 1_024 * 1_024

/** One worker answers `count` connections, one after the other, and its memory stays flat. */
export async function expectFlatMemory(runtime: Runtime, count: number): Promise<void> {
  const shop = await (await createTestAuthority()).issue(['shop.example'])
  await using rig = await startListenerRig({
    runtime,
    records: ({ certificate }) => [
      certificate(shop),
      siteRecord('shop', { kind: 'redirect', redirectTo: 'https://else.example/' }),
      nameRecord('shop.example', 'shop', shop),
    ],
  })
  const { answered, grownBytes } = await makeShortConnections(rig.httpPort, rig.pids()[0] ?? 0, 'shop.example', count)
  expect(answered).toBe(count)
  expect(grownBytes).toBeLessThan(MOST_GROWTH_BYTES)
  expect(rig.pids()).toHaveLength(1)
}
