import { execFileSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import {
  certificateInState,
  createTenantSite,
  createVerifiedHostname,
  eventually,
  startManager,
  startResponder,
  testVault,
  useAcme,
  useLocalCa,
} from '../../test/certificate-rig.ts'
import { createTestDatabase } from '../../test/database.ts'
import { startPebble } from '../../test/pebble.ts'
import { retireCertificate, retryNow } from './service.ts'
import { certificateKeyContext } from './store.ts'

test('a proven name and a wildcard get certificates of the local CA that openssl verifies', async () => {
  await using database = await createTestDatabase()
  const { db } = database
  await useLocalCa(db)
  const owner = await createTenantSite(db)
  await createVerifiedHostname(db, owner, 'www.local.test')
  await createVerifiedHostname(db, owner, '*.local.test')
  await using _manager = startManager(database)

  const issuer = await db.issuer.findFirstOrThrow()
  for (const name of ['www.local.test', '*.local.test']) {
    const row = await certificateInState(db, name, 'valid')
    expect(opensslVerify(row.activeVersion?.chainPem ?? '', issuer.rootPem ?? '', name.replace('*', 'any'))).toContain(
      'OK',
    )
    expect(row.orders.map((order) => order.state)).toEqual(['valid'])
    expect(row.problem).toBeNull()
  }
  const hostnames = await db.hostname.findMany({ include: { certificate: true } })
  expect(hostnames.map((row) => row.certificate?.names)).toEqual([['www.local.test'], ['*.local.test']])
})

test('Pebble issues over http-01; the key opens under its fingerprint and the event tells of it', async () => {
  await using database = await createTestDatabase()
  const { db } = database
  await using responder = await startResponder(db)
  await using pebble = await startPebble({ httpPort: responder.port })
  await useAcme(db, pebble)
  const hostnameId = await createVerifiedHostname(db, await createTenantSite(db), 'shop.acme.test')
  const awaited: string[] = []
  await using _manager = startManager(database, {
    awaitAcked: async (keys) => {
      const rows = await db.challenge.findMany()
      expect(keys).toEqual(rows.map(({ token }) => ({ kind: 'challenge', key: `http-01:${token}` })))
      expect(responder.asked).toEqual([])
      awaited.push(...keys.map(({ key }) => key))
      return true
    },
  })

  const row = await certificateInState(db, 'shop.acme.test', 'valid')
  const version = row.activeVersion
  if (version === null) throw new Error('no version')
  const keyPem = testVault().unseal(version.keySealed, certificateKeyContext(version.fingerprint)).toString()
  const leaf = new X509Certificate(version.chainPem)
  expect(leaf.checkPrivateKey(createPrivateKey(keyPem))).toBe(true)
  expect(leaf.fingerprint256.replaceAll(':', '').toLowerCase()).toBe(version.fingerprint)
  expect(opensslVerify(version.chainPem, await pebble.rootPem(), 'shop.acme.test')).toContain('OK')
  expect(awaited).toHaveLength(1)
  expect(pebble.orderCount()).toBe(1)
  expect(await db.challenge.count()).toBe(0)
  expect(row.orders[0]?.keySealed).toHaveLength(0)
  const thirdOfLifeMs = (version.notAfter.getTime() - version.notBefore.getTime()) / 3
  expect((row.dueAt?.getTime() ?? 0) <= (row.renewAt?.getTime() ?? 0)).toBe(true)
  expect(Math.abs((row.renewAt?.getTime() ?? 0) - (version.notAfter.getTime() - thirdOfLifeMs))).toBeLessThan(
    thirdOfLifeMs * 0.2,
  )
  const events = await db.event.findMany({ where: { subjectId: row.id }, orderBy: { id: 'asc' } })
  expect(events.map(({ action }) => action)).toEqual([
    'certificate.wanted',
    'certificate.ordered',
    'certificate.issued',
  ])
  expect((await db.hostname.findUniqueOrThrow({ where: { id: hostnameId } })).certificateId).toBe(row.id)
})

test('a short-lived certificate is renewed with a new key before its end', async () => {
  await using database = await createTestDatabase()
  const { db } = database
  await using responder = await startResponder(db)
  await using pebble = await startPebble({ httpPort: responder.port, certificateValiditySeconds: 12 })
  await useAcme(db, pebble)
  await createVerifiedHostname(db, await createTenantSite(db), 'short.acme.test')
  await using _manager = startManager(database)

  await eventually(async () => (await db.certificateVersion.count()) >= 3, 'two renewals')
  const versions = await db.certificateVersion.findMany({ orderBy: { createdAt: 'asc' } })
  const keys = versions.map(({ chainPem }) => new X509Certificate(chainPem).publicKey.export({ format: 'jwk' }).x)
  expect(new Set(keys).size).toBe(versions.length)
  for (const [index, version] of versions.entries()) {
    const next = versions[index + 1]
    if (next !== undefined) expect(next.createdAt < version.notAfter).toBe(true)
  }
  expect(await db.order.count({ where: { state: 'invalid' } })).toBe(0)
})

test('a CA that is down leaves a clear problem and is asked again with the same order', async () => {
  await using database = await createTestDatabase()
  const { db } = database
  await using responder = await startResponder(db)
  await using pebble = await startPebble({ httpPort: responder.port })
  await useAcme(db, pebble)
  await pebble.stop()
  await createVerifiedHostname(db, await createTenantSite(db), 'down.acme.test')
  await using manager = startManager(database)

  const failing = await certificateInState(db, 'down.acme.test', 'failing')
  expect(failing.problem).toMatchObject({ code: 'ISSUER_UNREACHABLE', detail: expect.stringContaining('ECONNREFUSED') })
  expect(failing.orders.map(({ state }) => state)).toEqual(['created'])
  const waitMs = (failing.dueAt?.getTime() ?? 0) - Date.now()
  expect(waitMs).toBeLessThan(60_000)

  await pebble.restart()
  await db.$transaction((tx) => retryNow(tx, failing.id))
  manager.wake()
  const valid = await certificateInState(db, 'down.acme.test', 'valid')
  expect(valid.orders.map(({ id, state }) => ({ id, state }))).toEqual([{ id: failing.orders[0]?.id, state: 'valid' }])
  expect(valid.failures).toBe(0)
})

test('a validation that fails says what to do, waits, and keeps the certificate that is served', async () => {
  await using database = await createTestDatabase()
  const { db } = database
  await using responder = await startResponder(db)
  await using pebble = await startPebble({ httpPort: responder.port })
  await useAcme(db, pebble)
  await createVerifiedHostname(db, await createTenantSite(db), 'wrong.acme.test')
  await using manager = startManager(database)
  const valid = await certificateInState(db, 'wrong.acme.test', 'valid')

  responder.answer = 'wrong'
  const now = new Date()
  await db.certificate.update({ where: { id: valid.id }, data: { dueAt: now, renewAt: now, ariPollAt: null } })
  manager.wake()
  const failing = await certificateInState(db, 'wrong.acme.test', 'failing')
  expect(failing.problem).toMatchObject({ code: 'UNAUTHORIZED', detail: expect.stringContaining('wrong.acme.test') })
  expect(failing.activeVersionId).toBe(valid.activeVersionId)
  expect((failing.dueAt?.getTime() ?? 0) - Date.now()).toBeGreaterThan(0)
  expect(failing.orders.map(({ state }) => state).sort()).toEqual(['invalid', 'valid'])
  expect(await db.challenge.count()).toBe(0)

  responder.answer = 'truth'
  await db.$transaction((tx) => retryNow(tx, valid.id))
  manager.wake()
  const again = await certificateInState(db, 'wrong.acme.test', 'valid')
  expect(again.activeVersionId).not.toBe(valid.activeVersionId)
})

test('no order goes to the CA without proof, and no challenge before an edge has confirmed it', async () => {
  await using database = await createTestDatabase()
  const { db } = database
  await using responder = await startResponder(db)
  await using pebble = await startPebble({ httpPort: responder.port })
  await useAcme(db, pebble)
  const owner = await createTenantSite(db)
  const unproven = await createVerifiedHostname(db, owner, 'gone.acme.test')
  await createVerifiedHostname(db, owner, 'unconfirmed.acme.test')
  await using _manager = startManager(database, {
    recheckBeforeOrder: (id) => Promise.resolve(id !== unproven),
    awaitAcked: () => Promise.resolve(false),
  })

  const gone = await certificateInState(db, 'gone.acme.test', 'failing')
  expect(gone.problem).toMatchObject({ code: 'OWNERSHIP_NOT_PROVEN' })
  const unconfirmed = await certificateInState(db, 'unconfirmed.acme.test', 'failing')
  expect(unconfirmed.problem).toMatchObject({ code: 'EDGES_UNCONFIRMED' })
  expect(unconfirmed.orders).toMatchObject([{ state: 'pending', challenges: [{ state: 'pending' }] }])
  expect(pebble.orderCount()).toBe(1)
  expect(responder.asked).toEqual([])
})

test('a wildcard waits when the CA proves over HTTP; names of the local CA move to an ACME issuer', async () => {
  await using database = await createTestDatabase()
  const { db } = database
  await using responder = await startResponder(db)
  await using pebble = await startPebble({ httpPort: responder.port })
  await useLocalCa(db)
  const owner = await createTenantSite(db)
  await createVerifiedHostname(db, owner, 'moves.acme.test')
  await using manager = startManager(database)
  const local = await certificateInState(db, 'moves.acme.test', 'valid')

  const acmeId = await useAcme(db, pebble)
  await createVerifiedHostname(db, owner, '*.acme.test')
  await db.certificate.update({ where: { id: local.id }, data: { dueAt: new Date() } })
  manager.wake()
  const paused = await certificateInState(db, '*.acme.test', 'paused')
  expect(paused.problem).toMatchObject({ code: 'WILDCARD_NEEDS_DNS' })
  const moved = await eventually(
    () => db.certificate.findFirst({ where: { id: local.id, issuerId: acmeId, state: 'valid' } }),
    'reissued by Pebble',
  )
  expect(moved.activeVersionId).not.toBe(local.activeVersionId)
  expect(pebble.orderCount()).toBe(1)
})

test('a CA that has forgotten our account and orders gets new ones', async () => {
  await using database = await createTestDatabase()
  const { db } = database
  await using responder = await startResponder(db)
  await using pebble = await startPebble({ httpPort: responder.port })
  await useAcme(db, pebble)
  const owner = await createTenantSite(db)
  await createVerifiedHostname(db, owner, 'before.acme.test')
  await using manager = startManager(database)
  await certificateInState(db, 'before.acme.test', 'valid')

  await pebble.stop()
  await pebble.restart()
  await createVerifiedHostname(db, owner, 'after.acme.test')
  manager.wake()
  await certificateInState(db, 'after.acme.test', 'valid')
  const accounts = await db.acmeAccount.findMany({ orderBy: { createdAt: 'asc' } })
  expect(accounts.map(({ isCurrent }) => isCurrent)).toEqual([false, true])
})

test('two managers on one database place one order for each name', async () => {
  await using database = await createTestDatabase()
  const { db } = database
  await using responder = await startResponder(db)
  await using pebble = await startPebble({ httpPort: responder.port })
  await useAcme(db, pebble)
  const owner = await createTenantSite(db)
  const names = Array.from({ length: 12 }, (_, index) => `n${index}.two.test`)
  for (const name of names) await createVerifiedHostname(db, owner, name)
  await using _one = startManager(database)
  await using _two = startManager(database)

  for (const name of names) await certificateInState(db, name, 'valid')
  expect(pebble.orderCount()).toBe(names.length)
  expect(await db.certificate.count()).toBe(names.length)
  expect(await db.certificateVersion.count()).toBe(names.length)
  expect(await db.acmeAccount.count()).toBe(1)
})

test('a certificate that no hostname uses is retired in mid-order and nothing of it comes back', async () => {
  await using database = await createTestDatabase()
  const { db } = database
  await using responder = await startResponder(db)
  await using pebble = await startPebble({ httpPort: responder.port })
  await useAcme(db, pebble)
  const hostnameId = await createVerifiedHostname(db, await createTenantSite(db), 'leaves.acme.test')
  const gate = Promise.withResolvers<boolean>()
  await using manager = startManager(database, { awaitAcked: () => gate.promise })

  const row = await eventually(
    () => db.certificate.findFirst({ where: { orders: { some: { challenges: { some: {} } } } } }),
    'challenge published',
  )
  await db.$transaction(async (tx) => {
    await retireCertificate(tx, row.id)
    await tx.hostname.delete({ where: { id: hostnameId } })
  })
  gate.resolve(true)
  await eventually(async () => pebble.log().includes('POST /chalZ/'), 'the step after the ack')
  await manager.stop()
  const order = await db.order.findFirstOrThrow()
  expect(order).toMatchObject({ state: 'abandoned' })
  expect(order.keySealed).toHaveLength(0)
  expect(await db.challenge.count()).toBe(0)
  expect((await db.certificate.findFirstOrThrow()).state).toBe('retired')
})

function opensslVerify(chainPem: string, rootPem: string, hostname: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'verify-'))
  try {
    writeFileSync(join(folder, 'chain.pem'), chainPem)
    writeFileSync(join(folder, 'root.pem'), rootPem)
    const chain = join(folder, 'chain.pem')
    const args = ['verify', '-x509_strict', '-purpose', 'sslserver', '-verify_hostname', hostname]
    return execFileSync('openssl', [...args, '-CAfile', join(folder, 'root.pem'), '-untrusted', chain, chain], {
      encoding: 'utf8',
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
