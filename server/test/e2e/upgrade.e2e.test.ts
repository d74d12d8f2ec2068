import { beforeAll, describe, expect, test } from 'vitest'
import { createTestAuthority, type TestAuthority, type TestCertificate } from '../certificates.ts'
import { makeListenerInstallation, pidsBelow } from '../listener-process.ts'
import { runtimes } from '../listener-rig.ts'
import { killTree, processes } from '../process-tree.ts'
import { eventually, launch, startCommand } from '../stack.ts'
import { startSteadyLoad } from '../steady-load.ts'

/** E39, E40: the listener is replaced while strict clients ask; a request that fails is a failure, whatever the reason. */
let authority: TestAuthority
let shop: TestCertificate
beforeAll(async () => {
  authority = await createTestAuthority()
  shop = await authority.issue(['shop.example'])
})

const isGone = (pids: readonly number[]): boolean => !processes().some(({ pid }) => pids.includes(pid))

async function command(args: string, env: NodeJS.ProcessEnv) {
  const run = launch(args, env)
  return { code: await run.ended, output: run.output() }
}

describe.each(runtimes)('nameplate upgrade on %s', (runtime) => {
  test('replaces supervisor and workers, then single workers, and no request fails', async () => {
    using place = await makeListenerInstallation(shop, { NAMEPLATE_LISTENER_RUNTIME: runtime })
    const main = await startCommand('listener', place.env)
    try {
      const target = { port: place.port, serverName: 'shop.example', ca: authority.caPem }
      const isRight = (status: number): boolean => status === 308
      const load = startSteadyLoad({ ...target, isRight }, { fresh: 2, kept: 3, streams: 2 })
      const supervisors = pidsBelow(main.pid, 'listener.ts')
      const workers = pidsBelow(main.pid, 'worker.ts')
      expect(workers).toHaveLength(2)

      const upgraded = await command('upgrade', place.env)
      expect(upgraded.output).toMatch(new RegExp(`^The listener was replaced: version .*, 2 workers on ${runtime} `))
      expect(upgraded.code).toBe(0)
      await eventually(async () => isGone([...supervisors, ...workers]), 'the old ones have ended')
      const second = pidsBelow(main.pid, 'worker.ts')
      expect(second).toHaveLength(2)

      const rolled = await command('upgrade --workers', place.env)
      expect(rolled).toEqual({ code: 0, output: 'All workers were replaced, one after the other.\n' })
      expect(isGone(second)).toBe(true)
      expect(pidsBelow(main.pid, 'worker.ts')).toHaveLength(2)
      expect(pidsBelow(main.pid, 'listener.ts')).toHaveLength(1)

      const { answered, failures } = await load.stop()
      expect(failures).toEqual([])
      expect(answered).toBeGreaterThan(100)
      expect(main.output()).not.toContain('a process has ended')
      await main.end()
      expect(await main.ended).toBe(0)
    } finally {
      await killTree(main.pid)
    }
  })
})
