import { afterEach, beforeEach, expect, test } from 'vitest'
import { createReach } from '../../contract/reach.ts'
import { makePeople, type People } from '../../test/api.ts'
import { createTestDatabase, type TestDatabase } from '../../test/database.ts'
import { callAs, type ServedApi, serveRoutes, statusesOf } from '../../test/hosting.ts'
import { write } from '../db.ts'
import { siteRoutes } from './routes.ts'
import { createSiteService, ensurePanelSite } from './service.ts'

let database: TestDatabase
let people: People
let api: ServedApi

beforeEach(async () => {
  database = await createTestDatabase()
  people = await makePeople(database.db)
  const service = createSiteService({ db: database.db, reach: createReach([]) })
  api = await serveRoutes(database.db, people, [siteRoutes(service)])
})
afterEach(async () => {
  await api[Symbol.asyncDispose]()
  await database[Symbol.asyncDispose]()
})

const post = (body: unknown, query = '') => callAs(api, 'member', 'POST', `/sites${query}`, body)
const proxy = { name: 'app', kind: 'proxy', upstreams: [{ url: 'http://app.example.test:8080' }] }

async function make(body: unknown = { name: 'www', kind: 'static' }): Promise<string> {
  const { status, body: site } = await post(body)
  expect(status).toBe(201)
  return String(site['id'])
}

test('each kind is made, shown, changed and deleted', async () => {
  const { body: made } = await post({ name: ' www ', kind: 'static' })
  expect(made).toMatchObject({
    tenantId: people.tenantId,
    name: 'www',
    kind: 'static',
    state: 'active',
    upstreams: null,
    redirectTo: null,
    redirectStatus: null,
    activeRelease: null,
  })
  expect((await callAs(api, 'viewer', 'GET', `/sites/${made['id']}`)).body).toEqual(made)
  const id = await make(proxy)
  const upstreams = [{ url: 'https://one.example.test', weight: 2 }]
  const { body: changed } = await callAs(api, 'member', 'PATCH', `/sites/${id}`, { name: 'app 2', upstreams })
  expect(changed).toMatchObject({ name: 'app 2', upstreams })
  await make({ name: 'old', kind: 'redirect', redirectTo: 'https://example.test/', redirectStatus: 308 })
  expect((await callAs(api, 'member', 'DELETE', `/sites/${id}`)).status).toBe(204)
  expect((await callAs(api, 'member', 'GET', `/sites/${id}`)).status).toBe(404)
  const { body: list } = await callAs(api, 'member', 'GET', '/sites')
  expect(list).toMatchObject({ items: [{ name: 'www' }, { name: 'old' }], nextCursor: null })
  const events = await database.db.event.findMany({ orderBy: { id: 'asc' } })
  expect(events.map(({ action, subjectName }) => [action, subjectName])).toEqual([
    ['site.created', 'www'],
    ['site.created', 'app'],
    ['site.changed', 'app 2'],
    ['site.created', 'old'],
    ['site.deleted', 'app 2'],
  ])
})

test('lists are paged, filtered, and hold only what the caller may see', async () => {
  for (const name of ['a1', 'a2', 'b1']) await make({ name, kind: 'static' })
  await callAs(api, 'stranger', 'POST', '/sites', { name: 'theirs', kind: 'static' })
  const names = async (caller: 'member' | 'stranger' | 'admin', query: string) => {
    const { body } = await callAs(api, caller, 'GET', `/sites${query}`)
    return [
      (body['items'] as { name: string }[]).map((item) => item.name),
      body['nextCursor'] as string | null,
    ] as const
  }
  const [first, cursor] = await names('member', '?limit=2')
  expect(first).toEqual(['a1', 'a2'])
  expect(await names('member', `?limit=2&cursor=${cursor}`)).toEqual([['b1'], null])
  expect((await names('member', '?q=A'))[0]).toEqual(['a1', 'a2'])
  expect((await names('member', '?kind=proxy'))[0]).toEqual([])
  expect((await names('stranger', ''))[0]).toEqual(['theirs'])
  expect((await names('stranger', `?tenantId=${people.tenantId}`))[0]).toEqual([])
  expect((await names('admin', `?tenantId=${people.otherTenantId}`))[0]).toEqual(['theirs'])
  expect((await names('admin', ''))[0]).toHaveLength(4)
})

test.each([
  ['no name', { name: ' ', kind: 'static' }, 'name'],
  ['a control character', { name: 'a\u0007b', kind: 'static' }, 'name'],
  ['an unknown kind', { name: 'a', kind: 'ftp' }, 'kind'],
  ['an unknown property', { name: 'a', kind: 'static', color: 'red' }, 'color'],
  ['a loopback upstream', { ...proxy, upstreams: [{ url: 'http://127.0.0.1' }] }, 'upstreams.0.url'],
  ['a proxy to nowhere', { name: 'a', kind: 'proxy' }, 'upstreams'],
  [
    'a wrong redirect status',
    { name: 'a', kind: 'redirect', redirectTo: 'https://a.test', redirectStatus: 200 },
    'redirectStatus',
  ],
])('%s is refused, and the field is named', async (_name, body, field) => {
  const answer = await post(body)
  expect(answer).toMatchObject({ status: 400, body: { code: 'INVALID_INPUT' } })
  expect(answer.body['errors']).toMatchObject([{ field }])
  expect(await database.db.site.count()).toBe(0)
})

test('a name is unique within a tenant, not between tenants', async () => {
  const id = await make({ name: 'www', kind: 'static' })
  await make({ name: 'app', kind: 'static' })
  expect(await post({ name: 'www', kind: 'static' })).toMatchObject({ status: 409, body: { code: 'CONFLICT' } })
  const renamed = await callAs(api, 'member', 'PATCH', `/sites/${id}`, { name: 'app' })
  expect(renamed).toMatchObject({ status: 409, body: { errors: [{ field: 'name' }] } })
  expect((await callAs(api, 'stranger', 'POST', '/sites', { name: 'www', kind: 'static' })).status).toBe(201)
})

test('the plan limits how many, also for many at once; a dry run counts and leaves nothing', async () => {
  const plan = await database.db.plan.create({ data: { name: 'small', maxSites: 3 } })
  await database.db.tenant.update({ where: { id: people.tenantId }, data: { planId: plan.id } })
  expect((await post({ name: 'dry', kind: 'static' }, '?dryRun=true')).status).toBe(201)
  expect(await database.db.site.count()).toBe(0)
  expect(await database.db.event.count()).toBe(0)
  const answers = await Promise.all(Array.from({ length: 10 }, (_, n) => post({ name: `s${n}`, kind: 'static' })))
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(3)
  const refused = answers.find(({ status }) => status !== 201)
  expect(refused).toMatchObject({ status: 403, body: { code: 'LIMIT_REACHED' } })
  expect(refused?.body['detail']).toMatch(/allows 3 sites/)
  const dry = await post({ name: 'dry', kind: 'static' }, '?dryRun=true')
  expect(dry).toMatchObject({ status: 403, body: { code: 'LIMIT_REACHED' } })
})

test('a site that something points at is not deleted', async () => {
  const { db } = database
  const siteId = await make()
  const remove = () => callAs(api, 'member', 'DELETE', `/sites/${siteId}`)
  const address = await db.address.create({
    data: { address: '127.0.0.2', use: 'dedicated', state: 'allocated', siteId },
  })
  expect(await remove()).toMatchObject({ status: 409, body: { code: 'IN_USE' } })
  await db.address.delete({ where: { id: address.id } })
  const domain = await db.domain.create({ data: { tenantId: people.tenantId, name: 'example.test', token: 't' } })
  const names = { tenantId: people.tenantId, domainId: domain.id, siteId }
  await db.hostname.create({ data: { ...names, name: 'www.example.test' } })
  const refused = await remove()
  expect(refused).toMatchObject({ status: 409, body: { code: 'IN_USE' } })
  expect(refused.body['detail']).toMatch(/^A hostname points at this site/)
  await db.hostname.deleteMany()
  const release = { siteId, number: 1, manifestDigest: 'a'.repeat(64), files: 1, bytes: 1 }
  const { id } = await db.release.create({ data: release })
  await db.site.update({ where: { id: siteId }, data: { activeReleaseId: id } })
  expect((await remove()).status).toBe(204)
  expect(await db.release.count()).toBe(0)
})

test('a suspended tenant changes nothing; an admin does, and suspends single sites', async () => {
  const id = await make()
  expect(await callAs(api, 'owner', 'PATCH', `/sites/${id}`, { state: 'suspended' })).toMatchObject({ status: 403 })
  const suspended = await callAs(api, 'admin', 'PATCH', `/sites/${id}`, { state: 'suspended' })
  expect(suspended.body).toMatchObject({ state: 'suspended' })
  await database.db.tenant.update({ where: { id: people.tenantId }, data: { state: 'suspended' } })
  const refused = { status: 403, body: { code: 'TENANT_SUSPENDED' } }
  expect(await post({ name: 'new', kind: 'static' })).toMatchObject(refused)
  expect(await callAs(api, 'owner', 'PATCH', `/sites/${id}`, { name: 'x' })).toMatchObject(refused)
  expect(await callAs(api, 'owner', 'DELETE', `/sites/${id}`)).toMatchObject(refused)
  expect((await callAs(api, 'admin', 'PATCH', `/sites/${id}`, { name: 'x' })).status).toBe(200)
})

test("the panel's site is made once, follows its upstream, and is not changed by the API", async () => {
  const { db } = database
  const panel = { tenantId: people.tenantId, upstream: 'http://127.0.0.1:3000' }
  const id = await write(db, {}, (tx) => ensurePanelSite(tx, panel))
  expect(await write(db, {}, (tx) => ensurePanelSite(tx, { ...panel, upstream: 'http://127.0.0.1:3001' }))).toBe(id)
  const { body } = await callAs(api, 'admin', 'GET', `/sites/${id}`)
  expect(body).toMatchObject({ kind: 'proxy', upstreams: [{ url: 'http://127.0.0.1:3001', weight: 1 }] })
  expect(await callAs(api, 'admin', 'PATCH', `/sites/${id}`, { name: 'x' })).toMatchObject({ status: 409 })
  expect(await callAs(api, 'admin', 'DELETE', `/sites/${id}`)).toMatchObject({ status: 409 })
})

test('who may do what', async () => {
  const id = await make()
  const all = (method: string, path: string, body?: unknown) => statusesOf(api, method, path, body)
  expect(await all('GET', '/sites')).toEqual([401, 200, 200, 200, 200, 200, 200])
  expect(await all('GET', `/sites/${id}`)).toEqual([401, 404, 200, 200, 200, 200, 200])
  const body = { name: 'new', kind: 'static', tenantId: people.tenantId }
  expect(await all('POST', '/sites?dryRun=true', body)).toEqual([401, 404, 403, 201, 201, 403, 201])
  expect(await all('PATCH', `/sites/${id}?dryRun=true`, { name: 'x' })).toEqual([401, 404, 403, 200, 200, 403, 200])
  expect(await all('DELETE', `/sites/${id}?dryRun=true`)).toEqual([401, 404, 403, 204, 204, 403, 204])
  const { tenantId: _, ...implied } = body
  expect(await all('POST', '/sites?dryRun=true', implied)).toEqual([401, 201, 403, 201, 201, 400, 400])
})
