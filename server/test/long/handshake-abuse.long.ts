import { randomInt } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { createTestAuthority, type TestCertificate } from '../certificates.ts'
import { abuse, abuses, descriptorsOf, residentMb } from '../handshake-abuse.ts'
import { nameRecord, runtimes, siteRecord, startListenerRig } from '../listener-rig.ts'
import { seededRandom } from '../mutations.ts'
import { visit } from '../visit.ts'

/** Of each kind; six kinds make more than a hundred thousand. */
const COUNT = 20_000
/** Heaps that have warmed up once more, and no leak: 50 bytes a connection would already be more. */
const GROWTH_MB = 60

let one: TestCertificate
beforeAll(async () => {
  one = await (await createTestAuthority()).issue(['one.example'])
})

describe.each(runtimes)('120,000 handshakes that go wrong on %s', (runtime) => {
  test('end no worker and leave descriptors and memory as they were', async () => {
    await using rig = await startListenerRig({
      runtime,
      http: [],
      records: ({ certificate, release }) => [
        certificate(one),
        siteRecord('one', { manifest: release({ 'index.html': 'one' }) }),
        nameRecord('one.example', 'one', one),
      ],
    })
    const seed = randomInt(2 ** 31)
    const random = seededRandom(seed)
    await visit({ port: rig.httpsPort, serverName: 'one.example' })
    const [pids, idle] = [[...rig.pids()], descriptorsOf(rig)]
    for (const kind of abuses) await abuse(rig, kind, COUNT / 10, random)
    const warm = residentMb(rig)
    for (const kind of abuses) await abuse(rig, kind, COUNT, random)
    expect((await visit({ port: rig.httpsPort, serverName: 'one.example' })).body, `seed ${seed}`).toBe('one')
    expect(rig.pids()).toEqual(pids)
    await expect.poll(() => descriptorsOf(rig), { timeout: 20_000 }).toBeLessThanOrEqual(idle + 1)
    expect(residentMb(rig) - warm).toBeLessThan(GROWTH_MB)
  })
})
