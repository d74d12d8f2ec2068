import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import { createServer as createTlsServer, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createReach } from '../../contract/reach.ts'
import { createTenantSite, createVerifiedHostname, quietLog } from '../../test/certificate-rig.ts'
import { createTestAuthority, type TestAuthority, type TestCertificate } from '../../test/certificates.ts'
import { createTestDatabase, type TestDatabase } from '../../test/database.ts'
import { startTestDns, type TestDns } from '../../test/dns.ts'
import { nameRecord, siteRecord, startListenerRig } from '../../test/listener-rig.ts'
import { until } from '../../test/publish-rig.ts'
import type { Db } from '../db.ts'
import { createDialler } from '../outbound/dialler.ts'
import { peekCertificate } from '../outbound/peek-certificate.ts'
import { type ProbeLoopDeps, startProbeLoop } from './loop.ts'

const DAY_MS = 86_400_000

function portOf(server: Server): number {
  const address = server.address()
  return address !== null && typeof address === 'object' ? address.port : 0
}

/** A TLS server that shows whichever certificate the test says. */
async function startShop(certificate: TestCertificate) {
  const identityOf = ({ chainPem, privateKeyPem }: TestCertificate) => ({ cert: chainPem, key: privateKeyPem })
  const serverNames: string[] = []
  const server = createTlsServer(identityOf(certificate), (socket: TLSSocket) => {
    serverNames.push(String(socket.servername))
    socket.on('error', () => undefined).resume()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: portOf(server),
    serverNames,
    show: (other: TestCertificate) => server.setSecureContext(identityOf(other)),
    [Symbol.asyncDispose]: async () => void server.close(),
  }
}

let authority: TestAuthority
let right: TestCertificate
let wrong: TestCertificate
beforeAll(async () => {
  authority = await createTestAuthority()
  right = await authority.issue(['shop.example.test', '*.wild.example.test'])
  wrong = await authority.issue(['shop.example.test'])
})

describe('a peek', () => {
  test('sees what a server shows, without trusting it', async () => {
    await using shop = await startShop(wrong)
    const target = { address: '127.0.0.1', port: shop.port, serverName: 'shop.example.test' }
    expect(await peekCertificate(target, 5_000)).toEqual({ fingerprint: wrong.fingerprint })
    await until('the server has seen the name', () => shop.serverNames.includes('shop.example.test'))
  })

  test.each([
    ['says nothing', () => undefined, 'timeout'],
    ['hangs up', (end: () => void) => end(), 'protocol'],
    ['speaks something else', (_: () => void, say: (text: string) => void) => say('SSH-2.0-x\r\n'), 'protocol'],
  ] as const)('of a server that %s', async (_, behave, code) => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined)
      behave(
        () => void socket.end(),
        (text) => void socket.write(text),
      )
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const target = { address: '127.0.0.1', port: portOf(server), serverName: 'shop.example.test' }
    await expect(peekCertificate(target, 500)).rejects.toMatchObject({ code })
    server.close()
    await expect(peekCertificate(target, 500)).rejects.toMatchObject({ code: 'connect' })
  })

  test('of the real listener: its certificate for its name, and that it does not know another', async () => {
    await using rig = await startListenerRig({
      runtime: 'node',
      records: ({ certificate }) => [
        certificate(right),
        nameRecord('shop.example.test', 'site', right),
        siteRecord('site', { kind: 'redirect', redirectTo: 'https://example.test/', redirectStatus: 301 }),
      ],
    })
    const target = { address: '127.0.0.1', port: rig.httpsPort, serverName: 'shop.example.test' }
    expect(await peekCertificate(target, 10_000)).toEqual({ fingerprint: right.fingerprint })
    await expect(peekCertificate({ ...target, serverName: 'other.example.test' }, 10_000)).rejects.toMatchObject({
      code: 'protocol',
      message: 'the server there does not know the name',
    })
  })
})

describe('the loop', () => {
  let database: TestDatabase
  let db: Db
  let dns: TestDns
  beforeAll(async () => {
    database = await createTestDatabase()
    db = database.db
    dns = await startTestDns()
  })
  afterAll(async () => {
    await dns[Symbol.asyncDispose]()
    await database[Symbol.asyncDispose]()
  })

  /** A hostname with an active certificate. Returns its id. */
  async function host(name: string, certificate: TestCertificate): Promise<string> {
    const id = await createVerifiedHostname(db, await createTenantSite(db), name)
    const { tenantId } = await db.hostname.findUniqueOrThrow({ where: { id } })
    const { id: certificateId } = await db.certificate.create({ data: { tenantId, names: [name] } })
    await db.hostname.update({ where: { id }, data: { certificateId } })
    await addVersion(certificateId, certificate.fingerprint)
    return id
  }

  async function addVersion(certificateId: string, fingerprint: string): Promise<void> {
    const { id } = await db.certificateVersion.create({
      data: {
        certificateId,
        fingerprint,
        serial: '1',
        names: [],
        keyAlgorithm: 'ec',
        chainPem: 'chain',
        keySealed: new Uint8Array(1),
        notBefore: new Date(Date.now() - DAY_MS),
        notAfter: new Date(Date.now() + DAY_MS),
      },
    })
    await db.certificate.update({ where: { id: certificateId }, data: { activeVersionId: id, state: 'valid' } })
  }

  const stored = (id: string) => db.probeResult.findUniqueOrThrow({ where: { hostnameId: id } })
  const dueNow = (id: string) => db.probeResult.update({ where: { hostnameId: id }, data: { dueAt: new Date(0) } })
  const events = async (action: string) => db.event.findMany({ where: { action } })
  /** Makes a hostname due and waits for the next look. */
  async function look(id: string): Promise<Awaited<ReturnType<typeof stored>>> {
    const before = (await stored(id)).at?.getTime() ?? 0
    await new Promise((resolve) => setTimeout(resolve, 2))
    await dueNow(id)
    await until('it was looked at', async () => ((await stored(id)).at?.getTime() ?? 0) > before)
    return stored(id)
  }

  function start(port: number, some: Partial<ProbeLoopDeps> = {}): AsyncDisposable {
    const loop = startProbeLoop({
      db,
      log: quietLog(),
      dialler: createDialler({ reach: createReach([]), dnsServers: [dns.address] }),
      reach: createReach([]),
      liveHostnames: async (rows) => new Set(rows.map(({ id }) => id)),
      publicAddresses: async () => ['127.0.0.1'],
      httpsPort: async () => port,
      isEnabled: async () => true,
      ...some,
    })
    return { [Symbol.asyncDispose]: () => loop.stop() }
  }

  test('a certificate is looked at within a minute after its activation, then within a day', async () => {
    await using shop = await startShop(right)
    await using _loop = start(shop.port)
    const id = await host('shop.example.test', right)
    const waitMs = (await stored(id)).dueAt?.getTime() ?? 0
    expect(waitMs).toBeGreaterThan(Date.now())
    expect(waitMs).toBeLessThanOrEqual(Date.now() + 60_000)
    const seen = await look(id)
    expect(seen).toMatchObject({ state: 'ok', servedFingerprint: right.fingerprint, detail: null })
    expect(seen.dueAt?.getTime()).toBeGreaterThan(Date.now() + 0.7 * DAY_MS)
    expect(seen.dueAt?.getTime()).toBeLessThanOrEqual(Date.now() + DAY_MS)
    await until('the server has seen the name', () => shop.serverNames.includes('shop.example.test'))
  })

  test('another certificate is an alarm when it is seen twice, told once, and its end is told', async () => {
    await using shop = await startShop(wrong)
    await using _loop = start(shop.port)
    const id = await host('alarm.example.test', await authority.issue(['alarm.example.test']))
    const expected = (await db.certificateVersion.findFirstOrThrow({ orderBy: { id: 'desc' } })).fingerprint
    expect(await look(id)).toMatchObject({ state: 'suspect', failures: 1, servedFingerprint: wrong.fingerprint })
    expect(await events('certificate.probe-failed')).toEqual([])
    expect(await look(id)).toMatchObject({ state: 'failed', detail: expect.stringContaining('127.0.0.1') })
    await look(id)
    const hostname = await db.hostname.findUniqueOrThrow({ where: { id } })
    expect(await events('certificate.probe-failed')).toMatchObject([
      {
        tenantId: hostname.tenantId,
        subjectId: hostname.certificateId,
        subjectName: 'alarm.example.test',
        detail: { hostnameId: id, servedFingerprint: wrong.fingerprint, expectedFingerprint: expected },
      },
    ])
    // The certificate that is shown becomes the one that should be.
    await addVersion(hostname.certificateId ?? '', wrong.fingerprint)
    expect(await look(id)).toMatchObject({ state: 'ok', failures: 0 })
    expect(await events('certificate.probe-recovered')).toHaveLength(1)
  })

  test('nobody there is an alarm as well', async () => {
    const shop = await startShop(right)
    await shop[Symbol.asyncDispose]()
    await using _loop = start(shop.port)
    const id = await host('gone.example.test', await authority.issue(['gone.example.test']))
    await look(id)
    expect(await look(id)).toMatchObject({ state: 'failed', detail: '127.0.0.1: nothing answers there.' })
  })

  test('an earlier certificate is no alarm just after the activation of the next', async () => {
    const first = await authority.issue(['renewed.example.test'])
    await using shop = await startShop(first)
    await using _loop = start(shop.port)
    const id = await host('renewed.example.test', first)
    const { certificateId } = await db.hostname.findUniqueOrThrow({ where: { id } })
    await addVersion(certificateId ?? '', (await authority.issue(['renewed.example.test'])).fingerprint)
    await look(id)
    expect(await look(id)).toMatchObject({ state: 'suspect', failures: 0, servedFingerprint: first.fingerprint })
  })

  test('a wildcard is looked at by a name below it', async () => {
    await using shop = await startShop(right)
    await using _loop = start(shop.port)
    const { id } = await db.certificateVersion.findFirstOrThrow({ where: { fingerprint: right.fingerprint } })
    await db.certificateVersion.update({ where: { id }, data: { fingerprint: randomBytes(32).toString('hex') } })
    expect(await look(await host('*.wild.example.test', right))).toMatchObject({ state: 'ok' })
    await until('the server has seen the name', () => shop.serverNames.includes('nameplate-check.wild.example.test'))
  })

  test('a private address that only the DNS of a tenant says is never dialled', async () => {
    await using shop = await startShop(right)
    dns.set('A', 'private.example.test', ['127.0.0.1', '10.0.0.1'])
    await using _loop = start(shop.port, { publicAddresses: async () => [] })
    const seen = await look(await host('private.example.test', await authority.issue(['private.example.test'])))
    expect(seen).toMatchObject({ state: 'skipped', detail: 'The name leads to no address that can be looked at.' })
    expect(shop.serverNames).toEqual([])
  })

  test('switched off, nothing is looked at; a name that is not served is not looked at again', async () => {
    await using shop = await startShop(right)
    const id = await host('off.example.test', await authority.issue(['off.example.test']))
    await dueNow(id)
    let asked = 0
    {
      await using _loop = start(shop.port, {
        isEnabled: async () => {
          asked += 1
          return false
        },
      })
      await until('the switch was asked for', () => asked > 0)
    }
    expect(await stored(id)).toMatchObject({ state: 'waiting', at: null, dueAt: new Date(0) })
    await db.hostname.update({ where: { id }, data: { ownershipState: 'released' } })
    await dueNow(id)
    await using _loop = start(shop.port)
    await until('it is put aside', async () => (await stored(id)).dueAt === null)
    expect(shop.serverNames).not.toContain('off.example.test')
  })

  test('several processes look at each name once', async () => {
    await using shop = await startShop(wrong)
    const ids: string[] = []
    for (let at = 0; at < 12; at += 1) {
      const name = `many${at}.example.test`
      ids.push(await host(name, await authority.issue([name])))
    }
    await db.probeResult.updateMany({ where: { hostnameId: { in: ids } }, data: { dueAt: new Date(0) } })
    await using _a = start(shop.port)
    await using _b = start(shop.port)
    await until('all were looked at', async () => {
      return (await db.probeResult.count({ where: { hostnameId: { in: ids }, at: { not: null } } })) === 12
    })
    const seen = () => shop.serverNames.filter((name) => name.startsWith('many'))
    await until('the server has seen all', () => seen().length >= 12)
    expect(seen()).toHaveLength(12)
    expect(new Set(seen()).size).toBe(12)
  })
})
