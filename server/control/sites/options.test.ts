import { scryptSync } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createReach } from '../../contract/reach.ts'
import { defaultSiteOptions, type SiteOptionsInput } from '../../contract/site-options.ts'
import { type ApiRig, createApiRig, type Kind, statusByKind } from '../../test/api.ts'
import { compileRecord } from '../publish/compile.ts'
import { loadSources } from '../publish/store.ts'
import { siteRoutes } from './routes.ts'
import { createSiteService } from './service.ts'

let rig: ApiRig
let made = 0

beforeAll(async () => {
  rig = await createApiRig({
    routes: ({ db }) => [siteRoutes(createSiteService({ db, reach: createReach([]) }))],
  })
})
afterAll(() => rig[Symbol.asyncDispose]())

type Json = Record<string, unknown>
const ask = async (
  method: 'GET' | 'POST' | 'PATCH',
  url: string,
  payload?: object,
  kind: Kind = 'member',
  more = {},
) => {
  const answer = await rig.as(kind).inject({ method, url, ...(payload === undefined ? {} : { payload }), ...more })
  return { status: answer.statusCode, body: answer.json() as Json, text: answer.body }
}
const make = async (options?: object, kind: 'static' | 'proxy' = 'static'): Promise<string> => {
  const upstreams = kind === 'proxy' ? { upstreams: [{ url: 'http://app.example.test' }] } : {}
  const body = { name: `site ${made++}`, kind, ...upstreams, ...(options === undefined ? {} : { options }) }
  const { status, body: site } = await ask('POST', '/sites', body)
  expect([status, site]).toEqual([201, expect.objectContaining({ kind })])
  return String(site['id'])
}
const change = (id: string, options: object) => ask('PATCH', `/sites/${id}`, { options })
const storedOptions = async (id: string): Promise<SiteOptionsInput> =>
  (await rig.db.site.findUniqueOrThrow({ where: { id } })).options as SiteOptionsInput
/** The record that is published now. */
const recordOf = (id: string): Promise<unknown> =>
  rig.db.$transaction(async (tx) => {
    const key = { kind: 'site', key: id } as const
    return compileRecord(key, await loadSources(tx, [key], 1))
  })

test('a site that sets nothing shows the defaults, and neither its row nor its record says anything', async () => {
  const id = await make()
  const { body } = await ask('GET', `/sites/${id}`, undefined, 'viewer')
  expect(body['options']).toEqual(defaultSiteOptions)
  expect(await storedOptions(id)).toEqual({})
  expect(await recordOf(id)).not.toHaveProperty('options')
})

test('a change replaces what it names, null resets it, and only what differs from the defaults is kept', async () => {
  const id = await make({ hsts: { maxAgeSeconds: 300 }, dotFiles: false, redirects: [{ path: '/a', to: '/b' }] })
  const hsts = { maxAgeSeconds: 300, includeSubDomains: false, preload: false }
  const redirects = [{ path: '/a', to: '/b', status: 301 }]
  expect(await storedOptions(id)).toEqual({ hsts, redirects })
  const headers = [{ path: '/*', set: { 'X-Frame-Options': 'DENY' } }]
  const { status, body } = await change(id, { headers, redirects: null, trailingSlash: 'add', accessLog: false })
  expect(status).toBe(200)
  const lower = [{ path: '/*', set: { 'x-frame-options': 'DENY' } }]
  expect(body['options']).toEqual({ ...defaultSiteOptions, hsts, headers: lower, accessLog: false })
  expect(await storedOptions(id)).toEqual({ hsts, headers: lower, accessLog: false })
  expect(await recordOf(id)).toMatchObject({ options: { hsts, headers: lower, accessLog: false } })
  expect((await ask('PATCH', `/sites/${id}`, { name: `renamed ${id}` })).body['options']).toEqual(body['options'])
  await change(id, { hsts: null, headers: [], accessLog: true })
  expect(await storedOptions(id)).toEqual({})
})

test('options of a proxy keep only what differs', async () => {
  const id = await make({ proxy: { verifyTls: false, connectTimeoutMs: 5_000, caPem: null } }, 'proxy')
  expect(await storedOptions(id)).toEqual({ proxy: { verifyTls: false } })
  const { body } = await ask('GET', `/sites/${id}`)
  expect((body['options'] as Json)['proxy']).toEqual({ ...defaultSiteOptions.proxy, verifyTls: false })
  await change(id, { proxy: { verifyTls: true } })
  expect(await storedOptions(id)).toEqual({})
})

test('passwords are kept as scrypt hashes, shown to nobody, and stay when they are not given', async () => {
  const auth = (...users: object[]) => ({ basicAuth: { realm: 'Staff', paths: ['/*'], users } })
  const id = await make(auth({ name: 'ann', password: 'correct horse' }))
  const first = (await storedOptions(id)).basicAuth?.users[0]
  const [label, cost, salt, key] = first?.hash.split(':') ?? []
  expect([label, cost]).toEqual(['scrypt', '16384'])
  const derived = scryptSync('correct horse', Buffer.from(salt ?? '', 'base64'), 32, { N: Number(cost) })
  expect(derived.toString('base64')).toBe(key)

  const { body, text } = await change(id, auth({ name: 'ben', password: 'battery staple' }, { name: 'ann' }))
  expect((body['options'] as Json)['basicAuth']).toEqual({
    realm: 'Staff',
    paths: ['/*'],
    users: [{ name: 'ben' }, { name: 'ann' }],
  })
  const stored = await storedOptions(id)
  expect(stored.basicAuth?.users[1]).toEqual(first)
  for (const kind of ['viewer', 'owner', 'admin'] as const) {
    const seen = (await ask('GET', `/sites/${id}`, undefined, kind)).text
    expect(seen).toContain('"ann"')
    expect(seen + text).not.toMatch(/scrypt|hash|password|staple/)
  }
  const events = await rig.db.event.findMany({ where: { subjectId: id } })
  expect(events.map(({ detail }) => detail)).toContainEqual({ fields: ['options.basicAuth'] })
  expect(JSON.stringify(events, (_, value) => (typeof value === 'bigint' ? String(value) : value))).not.toMatch(
    /staple|scrypt/,
  )

  const refused = await change(id, auth({ name: 'ann' }, { name: 'new' }))
  expect(refused).toMatchObject({
    status: 400,
    body: { errors: [{ field: 'options.basicAuth.users.1.password', detail: expect.stringContaining('new user') }] },
  })
  expect(await storedOptions(id)).toEqual(stored)
})

test('every problem is named by its field, and nothing is changed', async () => {
  const id = await make({ accessLog: false })
  const fieldsOf = async (options: object): Promise<string[]> => {
    const answer = await change(id, options)
    expect(answer).toMatchObject({ status: 400, body: { code: 'INVALID_INPUT' } })
    return (answer.body['errors'] as { field: string }[]).map(({ field }) => field)
  }
  expect(
    await fieldsOf({
      accessLog: true,
      headers: [{ path: 'x', set: { te: '1' } }],
      redirects: [{ path: '/a', to: 'b' }],
      proxy: {},
    }),
  ).toEqual(['options.headers.0.path', 'options.headers.0.set.te', 'options.redirects.0.to', 'options.proxy'])
  expect(await fieldsOf({ color: 'red' })).toEqual(['options.color'])
  expect(await fieldsOf({ hsts: { maxAgeSeconds: -1 } })).toEqual(['options.hsts.maxAgeSeconds'])
  expect(await fieldsOf({ redirects: [{ path: '/a', to: '/b', status: 200 }] })).toEqual(['options.redirects.0.status'])
  expect(await fieldsOf({ errorPages: { 418: 'x' } })).toEqual(['options.errorPages.418'])
  const rules = Array.from({ length: 501 }, (_, at) => ({ path: `/${at}`, to: '/x' }))
  expect(await fieldsOf({ redirects: rules })).toEqual(['options.redirects'])
  expect(await storedOptions(id)).toEqual({ accessLog: false })
})

test('all options together are bounded', async () => {
  const id = await make()
  const html = 'x'.repeat(64 * 1024 - 100)
  const pages = (count: number): object =>
    Object.fromEntries([401, 403, 404, 500, 502].slice(0, count).map((status) => [status, html]))
  expect((await change(id, { errorPages: pages(3) })).status).toBe(200)
  const refused = await change(id, { errorPages: pages(5) })
  expect(refused).toMatchObject({ status: 400, body: { errors: [{ field: 'options' }] } })
  expect(Object.keys((await storedOptions(id)).errorPages ?? {})).toHaveLength(3)
  const list = await ask('GET', '/sites')
  expect(list.text).toContain(id)
  expect(list.text).not.toContain('options')
})

test('a change of options is marked for publication, one of the name is not', async () => {
  const id = await make()
  await rig.db.feedChange.deleteMany()
  await ask('PATCH', `/sites/${id}`, { name: `other ${id}` })
  expect(await rig.db.feedChange.count()).toBe(0)
  await change(id, { hsts: { maxAgeSeconds: 300 } })
  expect(await rig.db.feedChange.findMany({ select: { kind: true, key: true } })).toEqual([{ kind: 'site', key: id }])
  await rig.db.feedChange.deleteMany()
  await change(id, { hsts: { maxAgeSeconds: 300 } })
  expect(await rig.db.feedChange.count()).toBe(0)
})

test('a change is done once for one idempotency key, and a dry run changes nothing', async () => {
  const id = await make()
  const users = [{ name: 'ann', password: 'correct horse' }]
  const payload = { options: { basicAuth: { realm: 'Staff', paths: ['/*'], users } } }
  expect((await ask('PATCH', `/sites/${id}?dryRun=true`, payload)).status).toBe(200)
  expect(await storedOptions(id)).toEqual({})
  const headers = { 'idempotency-key': 'set users' }
  const first = await ask('PATCH', `/sites/${id}`, payload, 'member', { headers })
  const stored = await storedOptions(id)
  expect(await ask('PATCH', `/sites/${id}`, payload, 'member', { headers })).toEqual(first)
  expect(await storedOptions(id)).toEqual(stored)
})

test('who may set options', async () => {
  const id = await make()
  const options = { hsts: { maxAgeSeconds: 300 } }
  const call = { method: 'PATCH', url: `/sites/${id}?dryRun=true`, payload: { options } } as const
  expect(await statusByKind(rig, call)).toEqual({
    guest: 401,
    stranger: 404,
    viewer: 403,
    member: 200,
    owner: 200,
    support: 403,
    admin: 200,
  })
  const site = { name: 'made with options', kind: 'static', tenantId: rig.tenantId, options }
  expect(await statusByKind(rig, { method: 'POST', url: '/sites?dryRun=true', payload: site })).toEqual({
    guest: 401,
    stranger: 404,
    viewer: 403,
    member: 201,
    owner: 201,
    support: 403,
    admin: 201,
  })
})

test('the OpenAPI document has the options, and no hash', async () => {
  const document = (await ask('GET', '/openapi.json', undefined, 'guest')).text
  expect(document).toContain('"tlsServerName"')
  expect(document).not.toContain('"hash"')
})
