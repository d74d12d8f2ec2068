import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sealTo } from '../contract/sealing.ts'
import { createTestAuthority, type TestCertificate } from '../test/certificates.ts'
import {
  type ListenerRig,
  nameRecord,
  type RigRecord,
  runtimes,
  siteRecord,
  startListenerRig,
} from '../test/listener-rig.ts'
import { sClient } from '../test/s-client.ts'

const folder = mkdtempSync(join(tmpdir(), 'nameplate-sessions-'))
let one: TestCertificate
let two: TestCertificate
let wild: TestCertificate

beforeAll(async () => {
  const authority = await createTestAuthority()
  one = await authority.issue(['one.example', 'alias.example'])
  two = await authority.issue(['two.example'])
  wild = await authority.issue(['*.wild.example'])
})
afterAll(() => rmSync(folder, { recursive: true }))

/** Two tenants' sites, an alias, and two sites that share one wildcard certificate. */
function startRig(runtime: 'bun' | 'node', workers: number): Promise<ListenerRig> {
  return startListenerRig({
    runtime,
    workers,
    http: [],
    records: ({ certificate, release }) => [
      ...[one, two, wild].map(certificate),
      ...['one', 'two', 'wild-a', 'wild-b'].map((id) => siteRecord(id, { manifest: release({ 'index.html': id }) })),
      nameRecord('one.example', 'one', one),
      nameRecord('alias.example', 'one', one),
      nameRecord('two.example', 'two', two),
      nameRecord('a.wild.example', 'wild-a', wild),
      nameRecord('b.wild.example', 'wild-b', wild),
    ],
  })
}

/** A ticket secret that nobody knows. */
function ticketKey({ edge }: ListenerRig, key: 'current' | 'previous'): RigRecord {
  const payload = {
    epoch: 1,
    sealedSecret: sealTo(edge.identity.keyPair.publicKey, randomBytes(32), 'ticket-key').toString('base64'),
  }
  return { kind: 'ticket-key', key, payload }
}

let files = 0

/** A new session of `name`, in a file for `offer`. */
async function obtain(port: number, version: string, name: string): Promise<string> {
  files += 1
  const file = join(folder, `session-${files}.pem`)
  const seen = await sClient(port, [version, '-servername', name, '-sess_out', file], name)
  expect(seen).toMatchObject({ session: 'New' })
  expect(existsSync(file)).toBe(true)
  return file
}

async function offer(port: number, version: string, file: string, name: string) {
  return sClient(port, [version, '-servername', name, '-sess_in', file], name)
}

describe.each(runtimes)('sessions on %s', (runtime) => {
  let rig: ListenerRig
  beforeAll(async () => {
    rig = await startRig(runtime, 1)
  })
  afterAll(() => rig.close())

  describe.each(['-tls1_2', '-tls1_3'])('with %s', (version) => {
    test('are resumed by name and by alias of their site', async () => {
      const { httpsPort } = rig
      const first = await obtain(httpsPort, version, 'one.example')
      expect(await offer(httpsPort, version, first, 'one.example')).toMatchObject({ session: 'Reused' })
      const second = await obtain(httpsPort, version, 'one.example')
      // The client does offer a session under another name: without this, the next test would prove nothing.
      expect(await offer(httpsPort, version, second, 'alias.example')).toMatchObject({ session: 'Reused' })
    })

    test('are never resumed at another site, not even under the same certificate', async () => {
      const { httpsPort } = rig
      const foreign = await offer(httpsPort, version, await obtain(httpsPort, version, 'one.example'), 'two.example')
      expect(foreign).toMatchObject({ session: 'New', subject: 'CN = two.example' })
      const sibling = await offer(
        httpsPort,
        version,
        await obtain(httpsPort, version, 'a.wild.example'),
        'b.wild.example',
      )
      expect(sibling).toMatchObject({ session: 'New' })
      expect(sibling.output).toContain('wild-b')
    })

    test('of a site do not open its name once another site has it', async () => {
      const { httpsPort } = rig
      const file = await obtain(httpsPort, version, 'a.wild.example')
      await rig.publish([nameRecord('a.wild.example', 'wild-b', wild)])
      expect(await offer(httpsPort, version, file, 'a.wild.example')).toMatchObject({ session: 'New' })
      await rig.publish([nameRecord('a.wild.example', 'wild-a', wild)])
    })

    const withOwnKeys = (): void =>
      test('go on when the ticket key changes: each context has a key of its own', async () => {
        const { httpsPort } = rig
        const file = await obtain(httpsPort, version, 'one.example')
        await rig.publish([ticketKey(rig, 'current'), ticketKey(rig, 'previous')])
        expect(await offer(httpsPort, version, file, 'one.example')).toMatchObject({ session: 'Reused' })
      })

    const withSharedKeys = (): void =>
      test('survive one change of the ticket key and not two', async () => {
        const { httpsPort, store } = rig
        const rotate = async (): Promise<void> => {
          const payload = store.get('ticket-key', 'current')
          await rig.publish([ticketKey(rig, 'current'), { kind: 'ticket-key', key: 'previous', payload }])
        }
        // Each is offered once: a client must not offer a ticket of TLS 1.3 twice.
        const [first, foreign, last] = [
          await obtain(httpsPort, version, 'one.example'),
          await obtain(httpsPort, version, 'a.wild.example'),
          await obtain(httpsPort, version, 'one.example'),
        ]
        await rotate()
        expect(await offer(httpsPort, version, first, 'one.example')).toMatchObject({ session: 'Reused' })
        expect(await offer(httpsPort, version, foreign, 'b.wild.example')).toMatchObject({ session: 'New' })
        const fresh = await obtain(httpsPort, version, 'one.example')
        expect(await offer(httpsPort, version, fresh, 'alias.example')).toMatchObject({ session: 'Reused' })
        await rotate()
        expect(await offer(httpsPort, version, last, 'one.example')).toMatchObject({ session: 'New' })
      })
    if (runtime === 'bun') withOwnKeys()
    else withSharedKeys()
  })
})

/** Bun takes `ticketKeys` and ignores it (oven-sh/bun 14604): there a session ends with its worker. */
describe.each(['-tls1_2', '-tls1_3'])('across workers and restarts on node, with %s', (version) => {
  test('a session is resumed within its site and nowhere else', async () => {
    await using rig = await startRig('node', 1)
    const { httpsPort } = rig
    const own = await obtain(httpsPort, version, 'one.example')
    const foreign = await obtain(httpsPort, version, 'one.example')
    const [pid = 0] = rig.pids()
    process.kill(pid, 'SIGKILL')
    await expect.poll(() => rig.pids().length === 1 && rig.pids()[0] !== pid, { timeout: 20_000 }).toBe(true)
    await expect
      .poll(() => offer(httpsPort, version, own, 'one.example'), { timeout: 20_000 })
      .toMatchObject({ session: 'Reused' })
    expect(await offer(httpsPort, version, foreign, 'two.example')).toMatchObject({ session: 'New' })
  })
})
