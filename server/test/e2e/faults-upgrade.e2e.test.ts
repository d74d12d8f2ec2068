import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { beforeAll, expect, test } from 'vitest'
import { createTestAuthority, type TestAuthority, type TestCertificate } from '../certificates.ts'
import { expectSeen } from '../fault-table.ts'
import { makeListenerInstallation, pidsBelow } from '../listener-process.ts'
import { killTree, processes } from '../process-tree.ts'
import { eventually, launch, startCommand } from '../stack.ts'
import { startSteadyLoad } from '../steady-load.ts'
import { visit } from '../visit.ts'

/** docs/faults.md, "Upgrades that fail". */
let authority: TestAuthority
let shop: TestCertificate
beforeAll(async () => {
  authority = await createTestAuthority()
  shop = await authority.issue(['shop.example'])
})

const NAMEPLATE_LISTENER_RUNTIME = 'bun'
const isGone = (pids: readonly number[]): boolean => !processes().some(({ pid }) => pids.includes(pid))

async function upgrade(env: NodeJS.ProcessEnv) {
  const run = launch('upgrade', env)
  return { code: await run.ended, output: run.output() }
}

const steps: [id: string, point: string][] = [
  ['upgrade-asked', 'upgrade.asked'],
  ['upgrade-listening', 'upgrade.listening'],
  ['upgrade-taken', 'upgrade.taken'],
]

test.each(steps)('%s: the old one goes on, and can be upgraded again', async (id, FAULT_POINT) => {
  using place = await makeListenerInstallation(shop, { NAMEPLATE_LISTENER_RUNTIME, FAULT_POINT })
  const env = { ...place.env, FAULT_ONCE: join(mkdtempSync(join(place.dataDir, 'once-')), 'died') }
  const main = await startCommand('listener', env)
  try {
    const workers = pidsBelow(main.pid, 'worker.ts')
    const load = startSteadyLoad({ port: place.port, serverName: 'shop.example', ca: authority.caPem }, { fresh: 2 })
    const failed = await upgrade(place.env)
    expect(failed.code).toBe(1)
    expectSeen(id, failed.output)
    await eventually(async () => main.output().includes('a successor did not take over'), 'the old one goes on')
    expect(pidsBelow(main.pid, 'worker.ts')).toEqual(workers)
    expect((await upgrade(place.env)).code).toBe(0)
    await eventually(async () => isGone(workers), 'the old workers have ended')
    expect((await load.stop()).failures).toEqual([])
  } finally {
    await killTree(main.pid)
  }
})

test('upgrade-nothing-runs', async () => {
  using place = await makeListenerInstallation(shop)
  const { code, output } = await upgrade(place.env)
  expect(code).toBe(1)
  expectSeen('upgrade-nothing-runs', output)
})

test('upgrade-does-not-start', async () => {
  using place = await makeListenerInstallation(shop, { NAMEPLATE_LISTENER_RUNTIME })
  const main = await startCommand('listener', place.env)
  try {
    // The layout of another version, as a downgrade would meet it.
    const file = new DatabaseSync(join(place.edge.path, 'records.sqlite'))
    file.exec('pragma user_version = 999')
    file.close()
    const { code, output } = await upgrade(place.env)
    expect(code).toBe(1)
    expectSeen('upgrade-does-not-start', output)
    const target = { port: place.port, serverName: 'shop.example', ca: authority.caPem }
    expect((await visit(target)).status).toBe(308)
  } finally {
    await killTree(main.pid)
  }
})
