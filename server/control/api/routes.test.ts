import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ApiRig, createApiRig, kinds, statusByKind } from '../../test/api.ts'
import { platformRoutes } from '../../test/platform-routes.ts'

/** Status per caller, in the order of `kinds`: guest, stranger, viewer, member, owner, support, admin. */
type Row = readonly [method: 'GET' | 'POST' | 'PATCH' | 'DELETE', url: string, payload: object | null, statuses: string]

const rows: readonly Row[] = [
  ['GET', '/health/live', null, '200 200 200 200 200 200 200'],
  ['GET', '/health', null, '200 200 200 200 200 200 200'],
  ['GET', '/setup', null, '200 200 200 200 200 200 200'],
  ['GET', '/auth/me', null, '401 200 200 200 200 200 200'],
  ['GET', '/tenants', null, '401 200 200 200 200 200 200'],
  ['GET', '/tenants/{tenant}', null, '401 404 200 200 200 200 200'],
  ['POST', '/tenants?dryRun=true', { name: 'New' }, '401 403 403 403 403 403 201'],
  ['PATCH', '/tenants/{tenant}?dryRun=true', { name: 'New' }, '401 403 403 403 403 403 200'],
  ['DELETE', '/tenants/{tenant}?dryRun=true', null, '401 403 403 403 403 403 204'],
  ['GET', '/tenants/{tenant}/members', null, '401 404 200 200 200 200 200'],
  [
    'POST',
    '/tenants/{tenant}/members?dryRun=true',
    { email: 'stranger@example.test', role: 'viewer' },
    '401 404 403 403 201 403 201',
  ],
  ['PATCH', '/tenants/{tenant}/members/{viewer}?dryRun=true', { role: 'member' }, '401 404 403 403 200 403 200'],
  ['DELETE', '/tenants/{tenant}/members/{viewer}?dryRun=true', null, '401 404 204 403 204 403 204'],
  ['GET', '/users', null, '401 403 403 403 403 200 200'],
  ['GET', '/users/{viewer}', null, '401 404 200 404 404 200 200'],
  ['POST', '/users?dryRun=true', { email: 'new@example.test' }, '401 403 403 403 403 403 201'],
  ['PATCH', '/users/{viewer}?dryRun=true', { isDisabled: true }, '401 404 403 404 404 403 200'],
  ['DELETE', '/users/{viewer}?dryRun=true', null, '401 403 403 403 403 403 204'],
  ['GET', '/plans', null, '401 200 200 200 200 200 200'],
  ['GET', '/plans/{plan}', null, '401 200 200 200 200 200 200'],
  ['POST', '/plans?dryRun=true', { name: 'Large' }, '401 403 403 403 403 403 201'],
  ['PATCH', '/plans/{plan}?dryRun=true', { maxSites: null }, '401 403 403 403 403 403 200'],
  ['DELETE', '/plans/{plan}?dryRun=true', null, '401 403 403 403 403 403 204'],
  ['GET', '/tokens', null, '401 200 200 200 200 200 200'],
  ['GET', '/tokens/{token}', null, '401 404 404 200 200 404 200'],
  ['POST', '/tokens?dryRun=true', { name: 'a', scopes: ['read'] }, '401 201 201 201 201 201 201'],
  ['POST', '/tokens?dryRun=true', { name: 'a', scopes: ['admin'] }, '401 403 403 403 403 403 201'],
  [
    'POST',
    '/tokens?dryRun=true',
    { name: 'a', scopes: ['write'], tenantId: '{tenant}' },
    '401 404 201 201 201 201 201',
  ],
  ['DELETE', '/tokens/{token}?dryRun=true', null, '401 404 404 204 204 404 204'],
  ['GET', '/settings', null, '401 403 403 403 403 200 200'],
  ['GET', '/settings/public', null, '401 200 200 200 200 200 200'],
  ['PATCH', '/settings?dryRun=true', { cnameTarget: 'edge.example.test' }, '401 403 403 403 403 403 200'],
]

describe('who may call what', () => {
  let rig: ApiRig
  const ids: Record<string, string> = {}
  beforeAll(async () => {
    rig = await createApiRig({ routes: platformRoutes })
    Object.assign(ids, rig.userIds, { tenant: rig.tenantId })
    ids['plan'] = (await rig.db.plan.create({ data: { name: 'Small', maxSites: 3 } })).id
    const payload = { name: 'mine', scopes: ['read'], tenantId: rig.tenantId }
    ids['token'] = (await rig.as('member').inject({ method: 'POST', url: '/tokens', payload })).json().id
  })
  afterAll(() => rig[Symbol.asyncDispose]())
  const filled = (text: string): string => text.replace(/\{(\w+)\}/g, (_, name: string) => ids[name] ?? name)

  test.each(rows)('%s %s %j', async (method, url, payload, statuses) => {
    const call = {
      method,
      url: filled(url),
      ...(payload === null ? {} : { payload: JSON.parse(filled(JSON.stringify(payload))) }),
    }
    const seen = await statusByKind(rig, call)
    expect(kinds.map((kind) => seen[kind]).join(' ')).toBe(statuses)
  })

  test('dry runs have changed nothing', async () => {
    const counts = [rig.db.tenant.count(), rig.db.user.count(), rig.db.plan.count(), rig.db.apiToken.count()]
    expect(await Promise.all(counts)).toEqual([2, 6, 1, 1])
    expect(await rig.db.setting.count()).toBe(0)
    expect(await rig.db.membership.count()).toBe(4)
    expect(await rig.db.event.count()).toBe(1)
  })

  test.each([
    ['POST', '/tenants', { name: 'a\u0000b' }],
    ['POST', '/auth/login', { email: 'a\u0000b', password: 'x' }],
    ['PATCH', '/settings', { supportContact: 'a\u0000b' }],
    ['GET', '/users?q=%00', null],
  ] as const)('a character that cannot be stored is bad input: %s %s', async (method, url, payload) => {
    const call = { method, url, ...(payload === null ? {} : { payload }) }
    const response = await rig.as('admin').inject(call)
    expect([response.statusCode, response.json().code]).toEqual([400, 'INVALID_INPUT'])
  })

  test('the OpenAPI document is of 3.1 and lists every call of the table', async () => {
    const document = (await rig.as('guest').inject({ url: '/openapi.json' })).json()
    expect(document.openapi).toBe('3.1.0')
    const operationIds = new Set<string>()
    for (const [method, url] of rows) {
      const path = `/api/v1${url.split('?')[0]}`
        .replace('members/{viewer}', 'members/{userId}')
        .replace(/\{(?!userId)\w+\}/, '{id}')
      const operation = document.paths[path]?.[method.toLowerCase()]
      expect(operation, `${method} ${path}`).toMatchObject({ tags: [expect.any(String)], summary: expect.any(String) })
      expect(operation.responses.default.content['application/problem+json'].schema.$ref).toBe(
        '#/components/schemas/Problem',
      )
      operationIds.add(`${method} ${path} ${operation.operationId}`)
    }
    expect(operationIds.size).toBe(new Set(rows.map(([method, url]) => `${method} ${url.split('?')[0]}`)).size)
  })
})
