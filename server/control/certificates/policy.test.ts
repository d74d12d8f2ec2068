import { once } from 'node:events'
import { createSecureContext, createServer, type TLSSocket } from 'node:tls'
import { expect, test } from 'vitest'
import { type AcmeServer, startAcmeServer } from '../../test/acme-server/server.ts'
import type { AcmeServerOptions } from '../../test/acme-server/settings.ts'
import {
  certificateInState,
  createTenantSite,
  createVerifiedHostname,
  eventually,
  startManager,
  startResponder,
  testVault,
  useAcme,
} from '../../test/certificate-rig.ts'
import { createTestDatabase } from '../../test/database.ts'
import type { Db } from '../db.ts'
import type { ManagerDeps } from './manager.ts'
import { challengeKeyContext } from './store.ts'

const DAY_MS = 86_400_000

/** A database with one issuer, its ACME server, and a manager on a clock that a test moves. */
async function startScene(options: Partial<AcmeServerOptions> = {}, deps: Partial<ManagerDeps> = {}) {
  const stack = new AsyncDisposableStack()
  const database = stack.use(await createTestDatabase())
  const { db } = database
  const responder = stack.use(await startResponder(db))
  const clock = { aheadMs: 0 }
  const now = () => Date.now() + clock.aheadMs
  const start = (more: Partial<AcmeServerOptions> = {}) =>
    startAcmeServer({ httpPort: responder.port, tlsPort: 1, clock: now, ...options, ...more }).then((ca) =>
      stack.use(ca),
    )
  const ca = await start()
  const issuerId = await useAcme(db, ca, { name: 'first' })
  const owner = await createTenantSite(db)
  const manager = stack.use(startManager(database, { now: () => new Date(now()), ...deps }))
  /** Makes everything due at the clock's present. */
  const wakeAll = async () => {
    await db.certificate.updateMany({ where: { dueAt: { not: null } }, data: { dueAt: new Date() } })
    manager.wake()
  }
  return {
    db,
    ca,
    issuerId,
    owner,
    responder,
    manager,
    wakeAll,
    start,
    add: (name: string) => createVerifiedHostname(db, owner, name),
    pass: (ms: number) => {
      clock.aheadMs += ms
      return wakeAll()
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

const versionsOf = (db: Db) => db.certificateVersion.findMany({ orderBy: { createdAt: 'asc' } })

test('the CA is asked when to renew, the answer is kept, and the renewal says what it replaces', async () => {
  await using scene = await startScene({
    renewal: ({ notBefore }) => ({ start: notBefore + 40 * DAY_MS, end: notBefore + 42 * DAY_MS }),
  })
  const { db, ca } = scene
  await scene.add('ari.test')
  await certificateInState(db, 'ari.test', 'valid')

  await scene.pass(DAY_MS)
  const asked = await eventually(() => db.certificate.findFirst({ where: { ariSelectedAt: { not: null } } }), 'window')
  const [first] = await versionsOf(db)
  const sinceDays = ((asked.ariSelectedAt?.getTime() ?? 0) - (first?.notBefore.getTime() ?? 0)) / DAY_MS
  expect(sinceDays).toBeGreaterThan(39.9)
  expect(sinceDays).toBeLessThan(42.1)
  expect((asked.ariPollAt?.getTime() ?? 0) - Date.now() - DAY_MS).toBeGreaterThan(5 * 3_600_000)

  await scene.pass(DAY_MS)
  await eventually(async () => ca.log.of('renewal-info').length >= 2, 'asked again')
  const again = await db.certificate.findFirstOrThrow()
  expect(again.ariSelectedAt).toEqual(asked.ariSelectedAt)
  expect(ca.log.of('order')).toHaveLength(1)

  await scene.pass(40.5 * DAY_MS)
  await eventually(async () => (await db.certificateVersion.count()) === 2, 'renewed')
  const [, renewal] = ca.log.of('order')
  expect(renewal?.replaces).toBe(ca.log.of('issued')[0]?.certId)
  expect(ca.log.of('issued')[1]?.replaces).toBe(renewal?.replaces)
})

test('a window that moves into the past renews at once; one that was replaced already is ordered without saying so', async () => {
  await using scene = await startScene()
  const { db, ca } = scene
  await scene.add('revoked.test')
  await certificateInState(db, 'revoked.test', 'valid')
  const certId = ca.log.of('issued')[0]?.certId ?? ''
  ca.renewals.windows.set(certId, {
    start: Date.now() - DAY_MS,
    end: Date.now() - 1,
    explanationUrl: 'https://ca.test/why',
  })
  ca.faults.set('newOrder', { kind: 'problem', type: 'alreadyReplaced', detail: 'replaced', status: 409 }, { times: 1 })

  await scene.pass(0.5 * DAY_MS)
  await eventually(async () => (await db.certificateVersion.count()) === 2, 'renewed')
  expect(ca.log.of('order').map(({ replaces }) => replaces)).toEqual([null, null])
  const orders = await db.order.findMany({ orderBy: { createdAt: 'asc' } })
  expect(orders.map(({ replaces, state }) => [replaces, state])).toEqual([
    [null, 'valid'],
    [null, 'valid'],
  ])
})

test('a CA that cannot say when changes nothing: the lifetime decides', async () => {
  await using scene = await startScene({ renewal: () => null })
  const { db, ca } = scene
  await scene.add('silent.test')
  const { renewAt } = await certificateInState(db, 'silent.test', 'valid')
  await scene.pass(DAY_MS)
  await eventually(async () => ca.log.of('renewal-info').length > 0, 'asked')
  const row = await eventually(
    () => db.certificate.findFirst({ where: { state: 'valid', leaseHolder: null, dueAt: { gt: new Date() } } }),
    'at rest',
  )
  expect(row.ariSelectedAt).toBeNull()
  expect(row.renewAt).toEqual(renewAt)
  await scene.pass((renewAt?.getTime() ?? 0) - Date.now() - DAY_MS + 60_000)
  await eventually(async () => (await db.certificateVersion.count()) === 2, 'renewed')
})

test('a profile is kept on renewal and left out when the CA drops it', async () => {
  await using scene = await startScene()
  const { db, ca, issuerId } = scene
  await db.issuer.update({ where: { id: issuerId }, data: { profile: 'shortlived' } })
  await scene.add('profile.test')
  await certificateInState(db, 'profile.test', 'valid')
  await scene.pass(4 * DAY_MS)
  await eventually(async () => (await db.certificateVersion.count()) === 2, 'renewed')
  ca.profiles.delete('shortlived')
  await scene.pass(4 * DAY_MS)
  await eventually(async () => (await db.certificateVersion.count()) === 3, 'renewed without')
  expect(ca.log.of('issued').map(({ profile }) => profile)).toEqual(['shortlived', 'shortlived', 'classic'])
  const orders = await db.order.findMany({ orderBy: { createdAt: 'asc' } })
  expect(orders.map(({ profile }) => profile)).toEqual(['shortlived', 'shortlived', null])
})

test.each([
  ['does not answer', (ca: AcmeServer) => ca.faults.set('newOrder', { kind: 'status', status: 503 })],
  [
    'is forbidden by CAA',
    (ca: AcmeServer) =>
      ca.faults.set('newOrder', { kind: 'problem', type: 'caa', detail: 'CAA record forbids issuance' }),
  ],
  [
    'is over its limit',
    (ca: AcmeServer) =>
      ca.faults.set('newOrder', {
        kind: 'problem',
        type: 'rateLimited',
        status: 429,
        detail: 'too many certificates (50) already issued for "example.test" in the last 168h0m0s',
        retryAfter: '7200',
      }),
  ],
])('a new name goes to the next issuer when the first one %s', async (_what, breakIt) => {
  await using scene = await startScene()
  const { db, ca } = scene
  const second = await scene.start()
  await useAcme(db, second, { name: 'second' })
  breakIt(ca)
  await scene.add('failover.test')
  await eventually(
    async () =>
      (await db.certificate.count({ where: { failures: { gt: 0 } } })) > 0 || second.log.of('issued').length > 0,
    'first try',
  )
  await scene.wakeAll()
  const row = await certificateInState(db, 'failover.test', 'valid')
  expect(second.log.of('issued')).toHaveLength(1)
  expect(ca.log.of('issued')).toHaveLength(0)
  expect(row.shunned).toEqual({})
})

test("the tenant's own order of issuers comes before the plan's and the platform's", async () => {
  await using scene = await startScene()
  const { db, owner } = scene
  const [second, third] = [await scene.start(), await scene.start()]
  const secondId = await useAcme(db, second, { name: 'second' })
  const thirdId = await useAcme(db, third, { name: 'third' })
  const plan = await db.plan.create({ data: { name: 'plan', issuerIds: [thirdId] } })
  await db.tenant.update({ where: { id: owner.tenantId }, data: { planId: plan.id } })
  await scene.add('plan.test')
  expect((await certificateInState(db, 'plan.test', 'valid')).issuerId).toBe(thirdId)
  await db.tenant.update({ where: { id: owner.tenantId }, data: { issuerIds: [secondId] } })
  await scene.add('tenant.test')
  expect((await certificateInState(db, 'tenant.test', 'valid')).issuerId).toBe(secondId)
})

test('orders beyond the limit of the account wait for their turn, tenants in turns, and none is refused by the CA', async () => {
  await using scene = await startScene({ limits: { newOrdersPerAccount: { count: 4, periodSeconds: 4_000 } } })
  const { db, ca, issuerId, manager } = scene
  await db.issuer.update({
    where: { id: issuerId },
    data: { limits: { newOrders: { capacity: 4, periodSeconds: 4_000 } } },
  })
  for (let index = 0; index < 8; index += 1) await scene.add(`many${index}.test`)
  await eventually(async () => (await db.certificate.count({ where: { queuedAt: { not: null } } })) === 4, 'four wait')
  const other = await createTenantSite(db)
  await createVerifiedHostname(db, other, 'other.test')
  manager.wake()
  await eventually(async () => (await db.certificate.count({ where: { queuedAt: { not: null } } })) === 5, 'five wait')
  await eventually(async () => (await db.certificate.count({ where: { state: 'valid' } })) === 4, 'four valid')

  for (let count = 5; count <= 9; count += 1) {
    await scene.pass(1_001_000)
    await eventually(
      async () => (await db.certificate.count({ where: { state: 'valid' } })) === count,
      `${count} valid`,
    )
  }
  const names = ca.log.of('issued').map((entry) => entry.names[0] ?? '')
  expect(names.indexOf('other.test')).toBeLessThanOrEqual(5)
  expect(ca.log.of('limit')).toEqual([])
  expect(ca.log.of('refused').filter(({ type }) => type === 'rateLimited')).toEqual([])
  expect(await db.event.count({ where: { action: 'certificate.failed' } })).toBe(0)
})

test('what fails again and again in production is rehearsed at the staging directory, and nothing of that is served', async () => {
  await using scene = await startScene()
  const { db, ca, issuerId, responder } = scene
  const staging = await scene.start()
  await db.issuer.update({
    where: { id: issuerId },
    data: { stagingUrl: staging.directoryUrl, trustRootPem: `${ca.caPem}\n${staging.caPem}` },
  })
  responder.answer = 'wrong'
  await scene.add('rehearse.test')
  for (const failures of [1, 2, 3, 4]) {
    await eventually(
      async () => (await db.certificate.count({ where: { failures: { gte: failures }, leaseHolder: null } })) === 1,
      `${failures} failures`,
    )
    await scene.wakeAll()
  }
  await eventually(async () => staging.log.of('validation').length >= 1, 'rehearsed')
  expect(ca.log.of('order')).toHaveLength(3)

  await eventually(
    async () => (await db.certificate.count({ where: { failures: { gte: 4 }, leaseHolder: null } })) === 1,
    'at rest',
  )
  responder.answer = 'truth'
  await scene.wakeAll()
  const row = await certificateInState(db, 'rehearse.test', 'valid')
  expect(staging.log.of('issued')).toEqual([])
  expect(ca.log.of('issued')).toHaveLength(1)
  expect(row.versions).toHaveLength(1)
  expect(row.isRehearsing).toBe(false)
})

test('a staging directory that does not answer holds nothing up', async () => {
  await using scene = await startScene({ challengeTypes: ['http-01'] })
  const { db, ca, issuerId } = scene
  const staging = await scene.start()
  const roots = `${ca.caPem}\n${staging.caPem}`
  await db.issuer.update({ where: { id: issuerId }, data: { stagingUrl: staging.directoryUrl, trustRootPem: roots } })
  await staging.stop()
  scene.responder.answer = 'wrong'
  await scene.add('down.test')
  const isAtRest = (where: object) => db.certificate.count({ where: { ...where, leaseHolder: null } })
  await eventually(async () => {
    if ((await isAtRest({ isRehearsing: false, failures: { gt: 0 } })) === 1) await scene.wakeAll()
    return (await isAtRest({ isRehearsing: true })) === 1
  }, 'to be rehearsed')
  scene.responder.answer = 'truth'
  await eventually(async () => {
    await scene.wakeAll()
    return (await isAtRest({ state: 'valid' })) === 1
  }, 'issued')
  expect(await db.order.count({ where: { isRehearsal: true, state: 'invalid' } })).toBe(1)
  await certificateInState(db, 'down.test', 'valid')
  expect(ca.log.of('issued')).toHaveLength(1)
  expect((await db.issuer.findFirstOrThrow()).circuit).toBeNull()
})

test('a name that failed over HTTP is proven in the TLS handshake', async () => {
  const { promise, resolve } = Promise.withResolvers<Db>()
  await using door = await startAlpnDoor(promise)
  await using scene = await startScene({ tlsPort: door.port })
  resolve(scene.db)
  scene.responder.answer = 'wrong'
  await scene.add('alpn.test')
  await certificateInState(scene.db, 'alpn.test', 'failing')
  await scene.wakeAll()
  await certificateInState(scene.db, 'alpn.test', 'valid')
  expect(scene.ca.log.of('validation').map(({ type, problem }) => [type, problem === null])).toEqual([
    ['http-01', false],
    ['tls-alpn-01', true],
  ])
  expect(await scene.db.challenge.count()).toBe(0)
})

test('a clock that is hours off stops ordering with a clear word, and goes on when it is right', async () => {
  await using scene = await startScene()
  const { db, ca } = scene
  const skew = ca.faults.set('any', { kind: 'clock-skew', byMs: 3 * 3_600_000 })
  await scene.add('clock.test')
  const row = await certificateInState(db, 'clock.test', 'failing')
  expect(row.problem).toMatchObject({ code: 'CLOCK_SKEW', detail: expect.stringContaining('180 minutes behind') })
  expect(ca.log.of('order')).toEqual([])
  skew.remove()
  await db.order.updateMany({ data: { accountId: null } })
  await scene.wakeAll()
  await scene.pass(60_000)
  await certificateInState(db, 'clock.test', 'valid')
})

test('a name whose DNS has left is tried less and less, given up after a month, and comes back by itself', async () => {
  let where: 'elsewhere' | 'here' = 'elsewhere'
  await using scene = await startScene({}, { whereabouts: () => Promise.resolve(where) })
  const { db, ca, responder } = scene
  responder.answer = 'wrong'
  await scene.add('left.test')
  const failing = await certificateInState(db, 'left.test', 'failing')
  expect(failing.departedAt).not.toBeNull()
  await scene.pass(31 * DAY_MS)
  const retired = await certificateInState(db, 'left.test', 'retired')
  expect(retired.orders.every(({ state }) => state === 'invalid')).toBe(true)
  const orders = ca.log.of('order').length
  await scene.pass(DAY_MS)
  await eventually(
    () => db.certificate.findFirst({ where: { state: 'retired', problem: { path: ['code'], equals: 'NAME_GONE' } } }),
    'told',
  )
  expect(ca.log.of('order')).toHaveLength(orders)

  where = 'here'
  responder.answer = 'truth'
  await scene.pass(DAY_MS)
  await certificateInState(db, 'left.test', 'valid')
  const events = await db.event.findMany({ select: { action: true } })
  expect(events.map(({ action }) => action)).toContain('certificate.returned')
})

/** Answers tls-alpn-01 from the challenge table, as an edge does from its records. */
async function startAlpnDoor(database: Promise<Db>): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createServer({
    ALPNProtocols: ['acme-tls/1'],
    SNICallback: (name, done) => {
      database
        .then((db) => db.challenge.findFirst({ where: { name, type: 'tls-alpn-01' } }))
        .then((row) => {
          if (row?.keySealed == null || row.certificatePem === null) return done(new Error('no challenge'))
          const key = testVault().unseal(row.keySealed, challengeKeyContext(name)).toString()
          done(null, createSecureContext({ cert: row.certificatePem, key }))
        })
        .catch(done)
    },
  })
  server.on('secureConnection', (socket: TLSSocket) => socket.on('error', () => undefined).end())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
