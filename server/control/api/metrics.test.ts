import { randomBytes } from 'node:crypto'
import Fastify from 'fastify'
import { describe, expect, test } from 'vitest'
import { createHistogram } from '../../process/metrics-histogram.ts'
import { metricsText } from '../../process/metrics-text.ts'
import {
  certificateInState,
  createTenantSite,
  createVerifiedHostname,
  startManager,
  startResponder,
  useAcme,
} from '../../test/certificate-rig.ts'
import { createTestDatabase, type TestDatabase } from '../../test/database.ts'
import { type ParsedFamily, parseMetrics } from '../../test/metrics-page.ts'
import { startPebble } from '../../test/pebble.ts'
import { seedInstallation, seedTenant } from '../../test/publish-rig.ts'
import { createCaObserver } from '../certificates/ca-observer.ts'
import { createControlMetrics } from './metrics.ts'
import { createRequestMetrics } from './request-metrics.ts'

const DAY_MS = 86_400_000

async function pageOf(database: TestDatabase): Promise<Map<string, ParsedFamily>> {
  const { body } = await createControlMetrics(database.db)()
  expect(body).not.toContain('told.test')
  return parseMetrics(body)
}

/** The value of a series. */
function seriesOf(
  page: Map<string, ParsedFamily>,
  name: string,
  labels: Record<string, string> = {},
): number | undefined {
  const samples = [...page.values()].flatMap((family) => family.samples)
  const isIt = (of: Readonly<Record<string, string>>) =>
    Object.entries(labels).every(([key, value]) => of[key] === value) && Object.keys(of).every((key) => key in labels)
  return samples.find((sample) => sample.name === name && isIt(sample.labels))?.value
}

test('the control plane tells states and ages in numbers, and of no name', async () => {
  await using database = await createTestDatabase()
  await seedInstallation(database.db)
  await seedTenant(database.db, 'told.test')
  const page = await pageOf(database)
  expect(seriesOf(page, 'nameplate_database_up')).toBe(1)
  expect(seriesOf(page, 'nameplate_feed_revision')).toBe(0)
  expect(seriesOf(page, 'nameplate_feed_waiting')).toBeGreaterThan(0)
  expect(seriesOf(page, 'nameplate_process_resident_bytes', { plane: 'control' })).toBeGreaterThan(0)
  for (const queue of ['certificates', 'mail', 'notices', 'probe'])
    expect(seriesOf(page, 'nameplate_oldest_due_seconds', { queue })).toBe(0)
})

test('without a database it says so', async () => {
  const database = await createTestDatabase()
  await database[Symbol.asyncDispose]()
  const page = await pageOf(database)
  expect(seriesOf(page, 'nameplate_database_up')).toBe(0)
  expect(page.has('nameplate_certificates')).toBe(false)
})

test('certificates, orders, mails, probes and what is late', async () => {
  await using database = await createTestDatabase()
  const { db } = database
  const owner = await createTenantSite(db)
  const { tenantId } = owner
  const { id: issuerId } = await db.issuer.create({
    data: { name: 'The "CA"', kind: 'acme', directoryUrl: 'https://ca.test' },
  })
  const served = async (name: string, ageDays: number, leftDays: number): Promise<string> => {
    const hostnameId = await createVerifiedHostname(db, owner, name)
    const { id } = await db.certificate.create({ data: { tenantId, issuerId, names: [name], dueAt: null } })
    const version = await db.certificateVersion.create({
      data: {
        certificateId: id,
        fingerprint: randomBytes(32).toString('hex'),
        serial: '1',
        names: [name],
        keyAlgorithm: 'ec',
        chainPem: 'chain',
        keySealed: new Uint8Array(1),
        notBefore: new Date(Date.now() - ageDays * DAY_MS),
        notAfter: new Date(Date.now() + leftDays * DAY_MS),
      },
    })
    await db.certificate.update({ where: { id }, data: { activeVersionId: version.id, state: 'valid' } })
    await db.hostname.update({ where: { id: hostnameId }, data: { certificateId: id } })
    return id
  }
  await served('fresh.told.test', 10, 80)
  await served('late.told.test', 81, 9)
  const expired = await served('expired.told.test', 91, -1)
  // Not served: it is in no histogram.
  await db.certificate.create({ data: { tenantId, names: ['wanted.told.test'], dueAt: new Date(Date.now() - 60_000) } })
  const order = { certificateId: expired, issuerId, names: ['expired.told.test'], keySealed: new Uint8Array(1) }
  await db.order.create({ data: { ...order, state: 'invalid', problem: { code: 'CAA', detail: '' } } })
  await db.order.create({ data: { ...order, state: 'valid' } })
  const mail = { recipient: 'a@told.test', subject: '', text: '', html: '' }
  await db.mailMessage.createMany({
    data: [
      { ...mail, dueAt: new Date(Date.now() - 30_000) },
      { ...mail, sentAt: new Date(), dueAt: null },
    ],
  })
  const page = await pageOf(database)
  const bucket = (le: number | string) =>
    seriesOf(page, 'nameplate_served_certificate_expiry_seconds_bucket', { le: String(le) })
  expect([bucket(0), bucket(7 * 86_400), bucket(14 * 86_400), bucket(90 * 86_400), bucket('+Inf')]).toEqual([
    1, 1, 2, 3, 3,
  ])
  expect(seriesOf(page, 'nameplate_served_certificates_low')).toBe(2)
  expect(seriesOf(page, 'nameplate_served_certificate_least_lifetime_left_ratio')).toBeLessThan(0)
  expect(seriesOf(page, 'nameplate_certificates', { state: 'valid', issuer: 'The "CA"' })).toBe(3)
  expect(seriesOf(page, 'nameplate_certificates', { state: 'wanted', issuer: '' })).toBe(1)
  expect(seriesOf(page, 'nameplate_orders', { state: 'CAA', issuer: 'The "CA"' })).toBe(1)
  expect(seriesOf(page, 'nameplate_orders', { state: 'valid', issuer: 'The "CA"' })).toBe(1)
  expect(seriesOf(page, 'nameplate_mails', { state: 'waiting' })).toBe(1)
  expect(seriesOf(page, 'nameplate_mails', { state: 'sent' })).toBe(1)
  expect(seriesOf(page, 'nameplate_probes', { state: 'waiting' })).toBe(3)
  expect(seriesOf(page, 'nameplate_oldest_due_seconds', { queue: 'certificates' })).toBeGreaterThanOrEqual(60)
  expect(seriesOf(page, 'nameplate_oldest_due_seconds', { queue: 'mail' })).toBeGreaterThanOrEqual(30)
})

test('however often it is read, rows are counted once a minute', async () => {
  await using database = await createTestDatabase()
  let asked = 0
  const db = new Proxy(database.db, {
    get(target, key) {
      if (key === '$queryRaw') asked += 1
      return Reflect.get(target, key) as unknown
    },
  })
  const page = createControlMetrics(db)
  await Promise.all(Array.from({ length: 20 }, () => page()))
  expect(asked).toBe(4)
})

describe('requests', () => {
  test('are measured by route and class of status, never by what a client made up', async () => {
    const requests = createRequestMetrics()
    const app = Fastify()
    requests.watch(app)
    app.get('/sites/:id', async () => ({}))
    app.get('/stream', (_, reply) => reply.type('text/event-stream').send('data: x\n\n'))
    app.get('/broken', async () => {
      throw new Error('broken')
    })
    for (const url of ['/sites/1', '/sites/2', '/nowhere/1', '/nowhere/2', '/broken', '/stream'])
      await app.inject({ url })
    await app.close()
    const page = parseMetrics(metricsText(requests.families()))
    const count = (route: string, status: string, method = 'GET') =>
      seriesOf(page, 'nameplate_api_request_seconds_count', { method, route, status })
    expect(count('/sites/:id', '2xx')).toBe(2)
    expect(count('none', '4xx', 'any')).toBe(2)
    expect(count('/broken', '5xx')).toBe(1)
    expect(count('/stream', '2xx')).toBeUndefined()
  })
})

test('calls to a CA are measured by what they were, and its clock is compared', async () => {
  await using database = await createTestDatabase()
  const { db } = database
  await using responder = await startResponder(db)
  await using pebble = await startPebble({ httpPort: responder.port })
  await useAcme(db, pebble)
  await createVerifiedHostname(db, await createTenantSite(db), 'measured.acme.test')
  const observer = createCaObserver()
  await using _manager = startManager(database, { observer })
  await certificateInState(db, 'measured.acme.test', 'valid')
  const page = parseMetrics(metricsText(observer.families()))
  const calls = new Set(
    page
      .get('nameplate_ca_request_seconds')
      ?.samples.filter(({ labels }) => labels['outcome'] === 'ok' && labels['issuer'] === 'Pebble')
      .map(({ labels }) => labels['call']),
  )
  for (const call of [
    'directory',
    'new-nonce',
    'new-account',
    'new-order',
    'authorization',
    'challenge',
    'order',
    'certificate',
  ])
    expect(calls).toContain(call)
  expect(Math.abs(observer.clockSkew() ?? Number.NaN)).toBeLessThan(30_000)
})

test('one CA with a wrong clock is no reason to doubt ours', () => {
  const now = Date.parse('2026-01-01T00:00:00Z')
  const observer = createCaObserver(() => now)
  expect(observer.clockSkew()).toBeNull()
  observer.forIssuer('a')('directory', 0, 'ok', new Date(now - 3_600_000))
  expect(observer.clockSkew()).toBe(3_599_500)
  observer.forIssuer('b')('directory', 0, 'ok', new Date(now))
  expect(observer.clockSkew()).toBe(-500)
})

test('a histogram holds what is at, below and above its bounds, for a bounded number of series', () => {
  const histogram = createHistogram('h', 'Help.', [1, 2])
  for (const value of [0, 1, 1.5, 2, 3]) histogram.observe({ of: 'a\n"\\' }, value)
  const page = parseMetrics(metricsText([histogram.family()]))
  const bucket = (le: string) => seriesOf(page, 'h_bucket', { of: 'a\n"\\', le })
  expect([bucket('1'), bucket('2'), bucket('+Inf')]).toEqual([2, 4, 5])
  expect(seriesOf(page, 'h_sum', { of: 'a\n"\\' })).toBe(7.5)
  for (let at = 0; at < 5_000; at += 1) histogram.observe({ of: String(at) }, 1)
  expect(histogram.family().samples).toHaveLength(2_000 * 5)
})
