import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ApiRig, createApiRig, type Kind } from '../../test/api.ts'
import { platformRoutes } from '../../test/platform-routes.ts'

const PASSWORD = 'correct horse battery'

describe('users', () => {
  let rig: ApiRig
  beforeAll(async () => {
    rig = await createApiRig({ routes: platformRoutes })
  })
  afterAll(() => rig[Symbol.asyncDispose]())
  const call = (method: 'GET' | 'POST' | 'PATCH' | 'DELETE', url: string, payload?: object, kind: Kind = 'admin') =>
    rig.as(kind).inject({ method, url, ...(payload === undefined ? {} : { payload }) })
  const login = (email: string, password: string) =>
    rig.as('guest').inject({ method: 'POST', url: '/auth/login', payload: { email, password } })

  test('a new user signs in and acts for the tenants given', async () => {
    const memberships = [{ tenantId: rig.tenantId, role: 'owner' }]
    const made = await call('POST', '/users', { email: 'New@Example.test', password: PASSWORD, memberships })
    expect(made.json()).toMatchObject({
      email: 'new@example.test',
      platformRole: null,
      memberships: [{ tenantId: rig.tenantId, tenantName: 'First', role: 'owner' }],
    })
    expect((await login('new@example.test', PASSWORD)).json().user).toEqual(made.json())
  })

  test.each([
    [{ email: 'admin@example.test' }, 409, 'CONFLICT'],
    [{ email: 'no e-mail' }, 400, 'INVALID_INPUT'],
    [{ email: 'a@example.test', password: 'short' }, 400, 'INVALID_INPUT'],
    [{ email: 'a@example.test', password: 'x'.repeat(201) }, 400, 'INVALID_INPUT'],
    [{ email: 'a@example.test', platformRole: 'root' }, 400, 'INVALID_INPUT'],
    [
      { email: 'a@example.test', memberships: [{ tenantId: '00000000-0000-7000-8000-000000000000', role: 'owner' }] },
      400,
      'INVALID_INPUT',
    ],
  ])('refuses %j', async (payload, status, code) => {
    const response = await call('POST', '/users', payload)
    expect([response.statusCode, response.json().code]).toEqual([status, code])
    expect(await rig.db.user.count({ where: { email: 'a@example.test' } })).toBe(0)
  })

  test('the own password needs the present one and ends the sessions', async () => {
    const { id } = (await call('POST', '/users', { email: 'self@example.test', password: PASSWORD })).json()
    const { accessToken } = (await login('self@example.test', PASSWORD)).json()
    const change = (payload: object) =>
      rig.app.inject({
        method: 'PATCH',
        url: `/api/v1/users/${id}`,
        payload,
        headers: { authorization: `Bearer ${accessToken}` },
      })
    const wrong = await change({ password: 'another password', currentPassword: 'not this one' })
    expect(wrong.json()).toMatchObject({ code: 'INVALID_INPUT', errors: [{ field: 'currentPassword' }] })
    expect((await change({ password: 'another password' })).statusCode).toBe(400)
    expect((await change({ platformRole: 'admin' })).statusCode).toBe(403)
    expect((await change({ password: 'another password', currentPassword: PASSWORD })).statusCode).toBe(200)
    expect((await change({})).statusCode).toBe(401)
    expect((await login('self@example.test', PASSWORD)).statusCode).toBe(401)
    expect((await login('self@example.test', 'another password')).statusCode).toBe(200)
  })

  test('disabling ends sessions, enabling lets in again', async () => {
    const { id } = (await call('POST', '/users', { email: 'off@example.test', password: PASSWORD })).json()
    const { accessToken } = (await login('off@example.test', PASSWORD)).json()
    const me = () => rig.app.inject({ url: '/api/v1/auth/me', headers: { authorization: `Bearer ${accessToken}` } })
    expect((await call('PATCH', `/users/${id}`, { isDisabled: true })).json().isDisabled).toBe(true)
    expect((await me()).statusCode).toBe(401)
    expect((await login('off@example.test', PASSWORD)).statusCode).toBe(401)
    expect((await call('PATCH', `/users/${id}`, { isDisabled: false })).json().isDisabled).toBe(false)
    expect((await me()).statusCode).toBe(401)
    expect((await login('off@example.test', PASSWORD)).statusCode).toBe(200)
  })

  test.each([
    ['PATCH', { isDisabled: true }],
    ['PATCH', { platformRole: 'support' }],
    ['DELETE', undefined],
  ] as const)('the last administrator stays: %s %j', async (method, payload) => {
    const response = await call(method, `/users/${rig.userIds.admin}`, payload)
    expect([response.statusCode, response.json().code]).toEqual([409, 'CONFLICT'])
  })

  test('two administrators who remove each other at once: one stays', async () => {
    const other = await rig.db.user.create({ data: { email: 'second@example.test', platformRole: 'admin' } })
    const both = [rig.userIds.admin, other.id].map((id) => call('PATCH', `/users/${id}`, { platformRole: null }))
    const statuses = (await Promise.all(both)).map((response) => response.statusCode)
    expect(statuses).toContain(200)
    expect(await rig.db.user.count({ where: { platformRole: 'admin' } })).toBe(1)
    await rig.db.user.update({ where: { id: rig.userIds.admin }, data: { platformRole: 'admin' } })
  })

  test('lists in pages, and finds by a part of the e-mail', async () => {
    const seen: string[] = []
    let cursor = ''
    do {
      const page = (await call('GET', `/users?limit=2${cursor}`)).json()
      seen.push(...page.items.map((user: { email: string }) => user.email))
      cursor = page.nextCursor === null ? '' : `&cursor=${page.nextCursor}`
    } while (cursor !== '')
    expect(new Set(seen).size).toBe(seen.length)
    expect(seen).toHaveLength(await rig.db.user.count())
    expect((await call('GET', '/users?q=VIEW')).json().items).toHaveLength(1)
    expect((await call('GET', '/users?cursor=nonsense')).json().code).toBe('INVALID_CURSOR')
  })
})
