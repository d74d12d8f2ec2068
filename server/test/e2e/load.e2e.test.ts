import { beforeAll, describe, expect, test } from 'vitest'
import { createTestAuthority, type TestAuthority, type TestCertificate } from '../certificates.ts'
import { type ListenerRig, nameRecord, runtimes, siteRecord, startListenerRig } from '../listener-rig.ts'
import { startSteadyLoad } from '../steady-load.ts'
import { visit } from '../visit.ts'

/**
 * Strict clients ask over HTTP/1.1 and HTTP/2 while everything changes below them. The change of the
 * program itself is in upgrade.e2e.test.ts.
 */
const wait = { timeout: 30_000 }
const clients = { fresh: 2, kept: 3, streams: 2 }
const NEW_SITES = 1_000
/** Requests that are answered between two changes. */
const BETWEEN = 60

let authority: TestAuthority
let first: TestCertificate
let second: TestCertificate
beforeAll(async () => {
  authority = await createTestAuthority()
  first = await authority.issue(['shop.example'])
  second = await authority.issue(['shop.example'])
})

function startRig(runtime: (typeof runtimes)[number]): Promise<ListenerRig> {
  return startListenerRig({
    runtime,
    workers: 2,
    records: ({ certificate, release }) => [
      certificate(first),
      siteRecord('shop', { manifest: release({ 'index.html': 'one' }) }),
      nameRecord('shop.example', 'shop', first),
    ],
  })
}

describe.each(runtimes)('under steady load on %s', (runtime) => {
  test('no request fails while certificates, releases, sites and workers change', async () => {
    await using rig = await startRig(runtime)
    const target = { port: rig.httpsPort, serverName: 'shop.example', ca: authority.caPem }
    const isRight = (status: number, body: string): boolean => status === 200 && /^(?:one|two)$/.test(body)
    const load = startSteadyLoad({ ...target, isRight }, clients)
    const go = async (): Promise<void> => {
      const answered = load.answered()
      await expect.poll(load.answered, wait).toBeGreaterThan(answered + BETWEEN)
    }
    try {
      await go()
      await rig.publish([rig.certificate(second), nameRecord('shop.example', 'shop', second)])
      expect((await visit(target)).fingerprint).toBe(second.fingerprint)
      await go()
      await rig.publish([siteRecord('shop', { manifest: rig.release({ 'index.html': 'two' }) })])
      expect((await visit(target)).body).toBe('two')
      await go()
      const keys = Array.from({ length: NEW_SITES }, (_, index) => `n${index}`)
      for (let at = 0; at < keys.length; at += 50)
        await rig.publish(
          keys
            .slice(at, at + 50)
            .flatMap((key) => [
              siteRecord(key, { kind: 'redirect', redirectTo: 'https://else.example/' }),
              nameRecord(`${key}.example`, key, second),
            ]),
        )
      await go()
      await rig.pool.replaceAll()
      await go()
      expect(load.failures()).toEqual([])

      const [victim = 0] = rig.pids()
      process.kill(victim, 'SIGKILL')
      await expect.poll(() => rig.pids().filter((pid) => pid !== victim).length, wait).toBe(2)
      await rig.publish([])
      await go()
      // In flight or queued on the killed worker: no client loses more than one request.
      const lost = load.failures().length
      expect(lost).toBeLessThanOrEqual(clients.fresh + clients.kept + clients.streams)
      await go()
      const { failures, answered } = await load.stop()
      expect(failures).toHaveLength(lost)
      expect(answered).toBeGreaterThan(6 * BETWEEN)
    } finally {
      await load.stop()
    }
  })
})
