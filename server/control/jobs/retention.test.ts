import { randomBytes, randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { createLog } from '../../process/log.ts'
import { createTestDatabase } from '../../test/database.ts'
import { forgetSessions } from '../auth/store.ts'
import { forgetCertificates, forgetOrders, forgetVersions } from '../certificates/retention-store.ts'
import type { Db } from '../db.ts'
import { forgetEvents } from '../events/record.ts'
import { startRetention } from './retention.ts'

const DAY_MS = 86_400_000
const now = Date.now()
const daysAgo = (days: number): Date => new Date(now - days * DAY_MS)
const before = daysAgo(90)

/** A UUIDv7 that was made then. */
function idOf(moment: Date): string {
  const hex = moment.getTime().toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7${randomUUID().slice(15)}`
}

async function addTenant(db: Db): Promise<string> {
  return (await db.tenant.create({ data: { name: 'First' } })).id
}

/** A certificate made 200 days ago. */
async function addCertificate(db: Db, tenantId: string, state: 'failing' | 'retired', updatedAt = daysAgo(200)) {
  const data = { id: idOf(daysAgo(200)), tenantId, names: ['a.test'], state, updatedAt }
  return (await db.certificate.create({ data })).id
}

async function addVersion(db: Db, certificateId: string, notAfter: Date): Promise<string> {
  const data = {
    id: idOf(daysAgo(200)),
    certificateId,
    fingerprint: randomBytes(32).toString('hex'),
    serial: '1',
    names: ['a.test'],
    keyAlgorithm: 'ec',
    chainPem: 'chain',
    keySealed: new Uint8Array(1),
    notBefore: daysAgo(300),
    notAfter,
  }
  return (await db.certificateVersion.create({ data })).id
}

test('of sessions those that ended long ago go', async () => {
  await using database = await createTestDatabase()
  const { db } = database
  const { id: userId } = await db.user.create({ data: { email: 'a@example.test' } })
  for (const days of [200, 91, 89, -1])
    await db.session.create({ data: { userId, secretHash: randomBytes(32), expiresAt: daysAgo(days) } })
  expect(await forgetSessions(db, before, 1)).toBe(1)
  expect(await forgetSessions(db, before, 10)).toBe(1)
  expect(await db.session.count()).toBe(2)
})

test('of events the oldest go, never a young one', async () => {
  await using database = await createTestDatabase()
  const { db } = database
  for (const days of [200, 100, 91, 89, 0])
    await db.event.create({ data: { at: daysAgo(days), actor: 'system', action: `${days}.days` } })
  expect([
    await forgetEvents(db, before, 2),
    await forgetEvents(db, before, 2),
    await forgetEvents(db, before, 2),
  ]).toEqual([2, 1, 0])
  expect((await db.event.findMany({ orderBy: { id: 'asc' } })).map(({ action }) => action)).toEqual([
    '89.days',
    '0.days',
  ])
})

test('of orders those that have ended go, and no open one', async () => {
  await using database = await createTestDatabase()
  const { db } = database
  const certificateId = await addCertificate(db, await addTenant(db), 'failing')
  const { id: issuerId } = await db.issuer.create({
    data: { name: 'ca', kind: 'acme', directoryUrl: 'https://ca.test' },
  })
  const add = (days: number, state: 'pending' | 'valid' | 'invalid' | 'abandoned') =>
    db.order.create({
      data: {
        id: idOf(daysAgo(days)),
        certificateId,
        issuerId,
        names: ['a.test'],
        state,
        keySealed: new Uint8Array(0),
      },
    })
  for (const state of ['valid', 'invalid', 'abandoned', 'pending'] as const) await add(100, state)
  await add(80, 'valid')
  expect(await forgetOrders(db, before, 10)).toBe(3)
  expect((await db.order.findMany({ orderBy: { id: 'asc' } })).map(({ state }) => state)).toEqual(['pending', 'valid'])
})

test('of versions those that expired long ago go, but not the active one', async () => {
  await using database = await createTestDatabase()
  const { db } = database
  const certificateId = await addCertificate(db, await addTenant(db), 'failing')
  const [gone, active, young] = [
    await addVersion(db, certificateId, daysAgo(100)),
    await addVersion(db, certificateId, daysAgo(95)),
    await addVersion(db, certificateId, daysAgo(10)),
  ]
  await db.certificate.update({ where: { id: certificateId }, data: { activeVersionId: active } })
  expect(await forgetVersions(db, before, 10)).toBe(1)
  const left = (await db.certificateVersion.findMany()).map(({ id }) => id)
  expect(left).not.toContain(gone)
  expect(left.sort()).toEqual([active, young].sort())
})

test('of certificates those that were retired long ago go with their versions, unless a hostname uses one', async () => {
  await using database = await createTestDatabase()
  const { db } = database
  const tenantId = await addTenant(db)
  const old = await addCertificate(db, tenantId, 'retired')
  const version = await addVersion(db, old, daysAgo(100))
  await db.certificate.update({ where: { id: old }, data: { activeVersionId: version, updatedAt: daysAgo(100) } })
  const failing = await addCertificate(db, tenantId, 'failing')
  const recent = await addCertificate(db, tenantId, 'retired', daysAgo(10))
  const used = await addCertificate(db, tenantId, 'retired')
  const { id: siteId } = await db.site.create({ data: { tenantId, name: 'www', kind: 'static' } })
  const { id: domainId } = await db.domain.create({ data: { tenantId, name: 'a.test', token: 'token' } })
  await db.hostname.create({ data: { tenantId, siteId, domainId, name: 'a.test', certificateId: used } })
  expect(await forgetCertificates(db, before, 10)).toBe(1)
  expect((await db.certificate.findMany()).map(({ id }) => id).sort()).toEqual([failing, recent, used].sort())
  expect(await db.certificateVersion.count()).toBe(0)
})

test('the loop goes on until nothing old is left', async () => {
  await using database = await createTestDatabase()
  const { db } = database
  const data = Array.from({ length: 2_500 }, () => ({ at: daysAgo(500), actor: 'system', action: 'old.event' }))
  await db.event.createMany({ data: [...data, { at: daysAgo(300), actor: 'system', action: 'young.event' }] })
  const retentions = [{ what: 'events', keepDays: 400, forget: forgetEvents }]
  const loop = startRetention({ db, log: createLog('test', 'fatal'), retentions })
  await expect.poll(() => db.event.count(), { timeout: 30_000 }).toBe(1)
  await loop.stop()
})
