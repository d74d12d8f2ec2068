import { beforeEach, expect, test } from 'vitest'
import { runtimes } from '../test/listener-rig.ts'
import { hasNamespaces, inNamespace } from '../test/namespace.ts'

type Outcomes = Readonly<Record<'killed' | 'drained', Readonly<Record<string, number>>>>

const QUEUED = 200

beforeEach((context) => {
  if (!hasNamespaces()) context.skip('no network namespace can be made here: this needs root')
})

/** The kernel's setting belongs to a network namespace: what it does is seen in one of its own. */
test.each(runtimes)(
  'without tcp_migrate_req a worker of %s that is killed loses what waits for it, and a drain loses nobody',
  async (runtime) => {
    const { killed, drained } = (await inNamespace('accept-queue-child.ts', [runtime, '0'])) as Outcomes
    expect(drained).toEqual({ 301: QUEUED })
    // The kernel shares connections out by their hash: about half of them waited.
    expect(killed.ECONNRESET).toBeGreaterThan(QUEUED / 5)
    expect((killed.ECONNRESET ?? 0) + (killed[301] ?? 0)).toBe(QUEUED)
  },
)

test('with it the kernel hands them to the other worker', async () => {
  const { killed, drained } = (await inNamespace('accept-queue-child.ts', ['bun', '1'])) as Outcomes
  expect([killed, drained]).toEqual([{ 301: QUEUED }, { 301: QUEUED }])
})
