import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTestAuthority, type TestCertificate } from '../test/certificates.ts'
import { abuse, abuses, descriptorsOf } from '../test/handshake-abuse.ts'
import { type ListenerRig, nameRecord, runtimes, siteRecord, startListenerRig } from '../test/listener-rig.ts'
import { seededRandom } from '../test/mutations.ts'
import { visit } from '../test/visit.ts'

const COUNT = 400

let one: TestCertificate
beforeAll(async () => {
  one = await (await createTestAuthority()).issue(['one.example'])
})

describe.each(runtimes)('handshakes that go wrong on %s', (runtime) => {
  let rig: ListenerRig
  let idle: number
  beforeAll(async () => {
    rig = await startListenerRig({
      runtime,
      http: [],
      records: ({ certificate, release }) => [
        certificate(one),
        siteRecord('one', { manifest: release({ 'index.html': 'one' }) }),
        nameRecord('one.example', 'one', one),
      ],
    })
    await visit({ port: rig.httpsPort, serverName: 'one.example' })
    idle = descriptorsOf(rig)
  })
  afterAll(() => rig.close())

  test.each(abuses)('by %s at any byte end no worker and keep no descriptor', async (kind) => {
    const before = [...rig.pids()]
    await abuse(rig, kind, COUNT, seededRandom(COUNT))
    expect((await visit({ port: rig.httpsPort, serverName: 'one.example' })).body).toBe('one')
    expect(rig.pids()).toEqual(before)
    await expect.poll(() => descriptorsOf(rig), { timeout: 20_000 }).toBeLessThanOrEqual(idle + 1)
  })
})
