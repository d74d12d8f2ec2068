import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Kind, makePeople, type People } from '../../test/api.ts'
import { createTestDatabase, type TestDatabase } from '../../test/database.ts'
import { callAs, type ServedApi, serveRoutes, statusesOf } from '../../test/hosting.ts'
import { addressRoutes } from './routes.ts'
import { createAddressService } from './service.ts'

let database: TestDatabase
let people: People
let api: ServedApi
let siteId: string
let otherSiteId: string

beforeEach(async () => {
  database = await createTestDatabase()
  people = await makePeople(database.db)
  const machine = () => ({ interfaces: new Set(['192.168.7.7', 'fd00::7']) })
  api = await serveRoutes(database.db, people, [addressRoutes(createAddressService({ db: database.db, machine }))])
  const kind = 'static' as const
  siteId = (await database.db.site.create({ data: { tenantId: people.tenantId, name: 'www', kind } })).id
  otherSiteId = (await database.db.site.create({ data: { tenantId: people.otherTenantId, name: 'theirs', kind } })).id
})
afterEach(async () => {
  await api[Symbol.asyncDispose]()
  await database[Symbol.asyncDispose]()
})

const call = (method: string, path: string, body?: unknown, caller: Kind = 'admin') =>
  callAs(api, caller, method, `/addresses${path}`, body)

async function make(address: string, more: object = {}): Promise<string> {
  const { status, body } = await call('POST', '', { address, use: 'dedicated', ...more })
  expect(status).toBe(201)
  return String(body['id'])
}

async function actions(): Promise<(string | null)[][]> {
  const events = await database.db.event.findMany({ orderBy: { id: 'asc' } })
  return events.map(({ action, subjectName }) => [action, subjectName])
}

test('an address is added, changed, given to a site, taken back and deleted', async () => {
  const { body: made } = await call('POST', '', {
    address: 'FD00:0::7',
    use: 'dedicated',
    pool: 'legacy',
    note: 'rack 3',
    publicAddress: '2001:DB8::7',
  })
  expect(made).toMatchObject({
    address: 'fd00::7',
    state: 'free',
    siteId: null,
    legacyTls: 'none',
    scope: 'private',
    isLocal: true,
    hint: null,
    publicAddress: '2001:db8::7',
  })
  const path = `/${made['id']}`
  expect((await call('PATCH', path, { note: null, pool: 'new', publicAddress: null })).body).toMatchObject({
    note: null,
    pool: 'new',
    publicAddress: null,
  })
  const { body: allocated } = await call('POST', `${path}/allocate`, { siteId, legacyTls: 'none' })
  expect(allocated).toMatchObject({ state: 'allocated', siteId })
  expect(await call('DELETE', path)).toMatchObject({ status: 409, body: { code: 'IN_USE' } })
  expect(await call('PATCH', path, { use: 'shared' })).toMatchObject({ status: 409, body: { code: 'IN_USE' } })
  expect(await call('PATCH', path, { state: 'reserved' })).toMatchObject({ status: 409, body: { code: 'IN_USE' } })
  expect((await call('POST', `${path}/deallocate`)).body).toMatchObject({ state: 'free', siteId: null })
  expect(await call('POST', `${path}/deallocate`)).toMatchObject({ status: 409, body: { code: 'CONFLICT' } })
  expect((await call('DELETE', path)).status).toBe(204)
  expect((await call('GET', path)).status).toBe(404)
  expect(await actions()).toEqual(
    ['created', 'changed', 'allocated', 'deallocated', 'deleted'].map((verb) => [`address.${verb}`, 'fd00::7']),
  )
})

test('the view says whether this machine has the address, and what to do', async () => {
  const edge = await database.db.edge.create({
    data: { id: '01981c2e-0000-7000-8000-000000000001', name: 'edge', publicKey: new Uint8Array(32) },
  })
  const view = async (id: string) => (await call('GET', `/${id}`)).body
  expect(await view(await make('127.0.0.2'))).toMatchObject({ scope: 'loopback', isLocal: true })
  expect(await view(await make('192.168.7.7'))).toMatchObject({ scope: 'private', isLocal: true, hint: null })
  const absent = await view(await make('192.168.7.8'))
  expect(absent).toMatchObject({ isLocal: false, hint: expect.stringContaining('192.168.7.8/32') })
  expect(await view(await make('192.168.7.9', { edgeId: edge.id }))).toMatchObject({ isLocal: null, edgeId: edge.id })
  const unknown = await call('POST', '', { address: '192.168.7.10', use: 'shared', edgeId: siteId })
  expect(unknown).toMatchObject({ status: 400, body: { errors: [{ field: 'edgeId' }] } })
})

test('a CIDR or range is added whole or not at all', async () => {
  const { status, body } = await call('POST', '', { cidr: '127.0.1.0/28', use: 'dedicated', pool: 'p' })
  expect(status).toBe(201)
  const items = body['items'] as { address: string; pool: string }[]
  expect(items.map((item) => item.address)).toEqual(Array.from({ length: 14 }, (_, n) => `127.0.1.${n + 1}`))
  const overlap = await call('POST', '', { range: '127.0.1.10-127.0.1.20', use: 'dedicated' })
  expect(overlap).toMatchObject({ status: 409, body: { code: 'CONFLICT' } })
  expect(overlap.body['detail']).toMatch(/127\.0\.1\.1\d and 4 more: added already/)
  expect(await database.db.address.count()).toBe(14)
  expect((await call('POST', '?dryRun=true', { range: '127.0.1.20-127.0.1.30', use: 'shared' })).status).toBe(201)
  expect(await database.db.address.count()).toBe(14)
  expect((await call('POST', '', { cidr: '10.0.0.0/22', use: 'dedicated' })).status).toBe(201)
  expect(await database.db.address.count()).toBe(14 + 1022)
  const { body: page } = await call('GET', '?pool=p&limit=10')
  expect(page['items']).toHaveLength(10)
  const { body: rest } = await call('GET', `?pool=p&limit=10&cursor=${page['nextCursor']}`)
  expect(rest).toMatchObject({ nextCursor: null })
  expect(rest['items']).toHaveLength(4)
})

test.each([
  ['none of the three', { use: 'shared' }, 'INVALID_INPUT'],
  ['two of the three', { address: '127.0.0.2', cidr: '127.0.0.0/30', use: 'shared' }, 'INVALID_INPUT'],
  ['no use', { address: '127.0.0.2' }, 'INVALID_INPUT'],
  ['too many', { cidr: '10.0.0.0/8', use: 'shared' }, 'INVALID_INPUT'],
  ['no address', { address: 'www.example.test', use: 'shared' }, 'ADDRESS_INVALID'],
  ['multicast', { address: '224.0.0.1', use: 'shared' }, 'ADDRESS_INVALID'],
  ['a wrong public address', { address: '127.0.0.2', use: 'shared', publicAddress: 'x' }, 'ADDRESS_INVALID'],
])('%s is refused', async (_name, body, code) => {
  expect(await call('POST', '', body)).toMatchObject({ status: 400, body: { code } })
  expect(await database.db.address.count()).toBe(0)
})

test('what cannot be allocated says why', async () => {
  const shared = await make('127.0.0.2', { use: 'shared' })
  const reserved = await make('127.0.0.3')
  expect((await call('PATCH', `/${reserved}`, { state: 'reserved' })).body).toMatchObject({ state: 'reserved' })
  const taken = await make('127.0.0.4')
  await call('POST', `/${taken}/allocate`, { siteId: otherSiteId })
  const refusal = async (id: string) => (await call('POST', `/${id}/allocate`, { siteId })).body
  expect(await refusal(shared)).toMatchObject({ code: 'ADDRESS_NOT_FREE', detail: expect.stringContaining('shared') })
  expect(await refusal(reserved)).toMatchObject({
    code: 'ADDRESS_NOT_FREE',
    detail: expect.stringContaining('reserved'),
  })
  expect(await refusal(taken)).toMatchObject({ code: 'ADDRESS_NOT_FREE', detail: expect.stringContaining('"theirs"') })
  const free = await make('127.0.0.5')
  const noSite = await call('POST', `/${free}/allocate`, { siteId: free })
  expect(noSite).toMatchObject({ status: 404, body: { code: 'NOT_FOUND' } })
  for (const legacyTls of ['tls1.0', 'tls1.0-3des']) {
    expect((await call('POST', `/${free}/allocate`, { siteId, legacyTls })).body).toMatchObject({ siteId, legacyTls })
    expect((await call('POST', `/${free}/deallocate`)).body).toMatchObject({ siteId: null, legacyTls: 'none' })
  }
  const unknown = await call('POST', `/${free}/allocate`, { siteId, legacyTls: 'ssl3' })
  expect(unknown).toMatchObject({ status: 400, body: { code: 'INVALID_INPUT' } })
  expect((await call('POST', `/${free}/allocate?dryRun=true`, { siteId })).body).toMatchObject({ state: 'allocated' })
  expect((await call('GET', `/${free}`)).body).toMatchObject({ state: 'free', siteId: null })
})

test('a shared address that sites are served on becomes dedicated only on purpose', async () => {
  const { db } = database
  const id = await make('127.0.0.2', { use: 'shared' })
  const change = (more: object = {}) => call('PATCH', `/${id}`, { use: 'dedicated', ...more })
  expect((await call('PATCH', `/${id}?dryRun=true`, { use: 'dedicated' })).status).toBe(200)
  const domain = await db.domain.create({ data: { tenantId: people.tenantId, name: 'example.test', token: 't' } })
  const names = { tenantId: people.tenantId, domainId: domain.id, siteId, name: 'www.example.test' }
  await db.hostname.create({ data: { ...names, ownershipState: 'verified', verifiedAt: new Date() } })
  const refused = await change()
  expect(refused).toMatchObject({ status: 409, body: { code: 'IN_USE' } })
  expect(refused.body['detail']).toMatch(/^One site is served on the shared address 127\.0\.0\.2/)
  expect((await change({ force: true })).body).toMatchObject({ use: 'dedicated' })
  expect((await call('PATCH', `/${id}`, { use: 'shared' })).body).toMatchObject({ use: 'shared' })
})

test('200 allocations at once of 10 addresses: each goes to one site', async () => {
  const { body } = await call('POST', '', { range: '127.0.9.1-127.0.9.10', use: 'dedicated' })
  const addresses = (body['items'] as { id: string }[]).map((item) => item.id)
  const tries = Array.from({ length: 200 }, async (_, n) => {
    const wanted = n % 2 === 0 ? siteId : otherSiteId
    const answer = await call('POST', `/${addresses[n % 10]}/allocate`, { siteId: wanted })
    return { ...answer, wanted }
  })
  const answers = await Promise.all(tries)
  const winners = answers.filter(({ status }) => status === 200)
  expect(winners).toHaveLength(10)
  expect(new Set(winners.map((winner) => winner.body['id']))).toEqual(new Set(addresses))
  const losers = answers.filter(({ status }) => status !== 200)
  expect(losers.map((loser) => loser.body['code'])).toEqual(Array.from({ length: 190 }, () => 'ADDRESS_NOT_FREE'))
  for (const { body: winner, wanted } of winners) {
    expect((await call('GET', `/${winner['id']}`)).body).toMatchObject({ siteId: wanted, state: 'allocated' })
  }
  expect((await actions()).filter(([action]) => action === 'address.allocated')).toHaveLength(10)
})

test('who may do what: a tenant reads the addresses of its own sites, without what is the platform’s', async () => {
  const own = await make('127.0.0.2', { note: 'secret', pool: 'p' })
  const free = await make('127.0.0.3')
  await call('POST', `/${own}/allocate`, { siteId })
  const all = (method: string, path: string, body?: unknown) => statusesOf(api, method, `/addresses${path}`, body)
  expect(await all('GET', `/${own}`)).toEqual([401, 404, 200, 200, 200, 200, 200])
  expect(await all('GET', `/${free}`)).toEqual([401, 404, 404, 404, 404, 200, 200])
  const adminOnly = [401, 403, 403, 403, 403, 403]
  const create = { address: '127.0.0.4', use: 'shared' }
  expect(await all('POST', '?dryRun=true', create)).toEqual([...adminOnly, 201])
  expect(await all('PATCH', `/${own}?dryRun=true`, { note: 'x' })).toEqual([...adminOnly, 200])
  expect(await all('DELETE', `/${free}?dryRun=true`)).toEqual([...adminOnly, 204])
  expect(await all('POST', `/${free}/allocate?dryRun=true`, { siteId })).toEqual([...adminOnly, 200])
  expect(await all('POST', `/${own}/deallocate?dryRun=true`)).toEqual([...adminOnly, 200])
  const listed = async (caller: Kind) => {
    const { body } = await call('GET', '', undefined, caller)
    return (body['items'] as { address: string; note: string | null }[]).map((item) => [item.address, item.note])
  }
  expect((await call('GET', '', undefined, 'guest')).status).toBe(401)
  expect(await listed('stranger')).toEqual([])
  expect(await listed('viewer')).toEqual([['127.0.0.2', null]])
  expect(await listed('support')).toEqual([
    ['127.0.0.2', 'secret'],
    ['127.0.0.3', null],
  ])
})
