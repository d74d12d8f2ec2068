import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ApiRig, createApiRig, type Kind } from '../../../test/api.ts'
import { platformRoutes } from '../../../test/platform-routes.ts'

describe('API tokens', () => {
  let rig: ApiRig
  beforeAll(async () => {
    rig = await createApiRig({ routes: platformRoutes })
  })
  afterAll(() => rig[Symbol.asyncDispose]())

  const make = async (kind: Kind, payload: object): Promise<{ id: string; token: string; prefix: string }> => {
    const response = await rig.as(kind).inject({ method: 'POST', url: '/tokens', payload: { name: 'ci', ...payload } })
    expect(response.statusCode).toBe(201)
    return response.json()
  }
  const use = (
    token: string,
    url: string,
    method: 'GET' | 'POST' | 'DELETE' = 'GET',
    payload?: object,
    from?: string,
  ) =>
    rig.app.inject({
      method,
      url: `/api/v1${url}`,
      headers: { authorization: `Bearer ${token}` },
      ...(payload === undefined ? {} : { payload }),
      ...(from === undefined ? {} : { remoteAddress: from }),
    })

  test('is shown once and kept as a hash', async () => {
    const { id, token, prefix } = await make('member', { scopes: ['read'] })
    expect(token).toMatch(/^np_[\w-]{43}$/)
    expect(token.startsWith(prefix)).toBe(true)
    expect((await rig.as('member').inject({ url: `/tokens/${id}` })).body).not.toContain(token)
    expect((await rig.as('member').inject({ url: '/tokens' })).body).not.toContain(token)
    expect((await use(token, '/auth/me')).json()).toMatchObject({ token: { id, tenantId: null, scopes: ['read'] } })
    expect((await rig.db.apiToken.findUniqueOrThrow({ where: { id } })).lastUsedAt).not.toBeNull()
  })

  test.each([
    ['read', [200, 403, 403]],
    ['write', [200, 403, 403]],
    ['admin', [200, 201, 201]],
  ] as const)('the scope %s of an admin', async (scope, statuses) => {
    const { token } = await make('admin', { scopes: [scope] })
    const seen = [
      await use(token, '/users'),
      await use(token, '/tenants?dryRun=true', 'POST', { name: 'x' }),
      await use(token, '/tokens?dryRun=true', 'POST', { name: 'x', scopes: ['read'] }),
    ]
    expect(seen.map((response) => response.statusCode)).toEqual(statuses)
  })

  test('a read token changes nothing, a write token does', async () => {
    const change = { email: 'stranger@example.test', role: 'viewer' }
    const url = `/tenants/${rig.tenantId}/members?dryRun=true`
    expect((await use((await make('owner', { scopes: ['read'] })).token, url, 'POST', change)).statusCode).toBe(403)
    expect((await use((await make('owner', { scopes: ['write'] })).token, url, 'POST', change)).statusCode).toBe(201)
  })

  test("a token that is bound to a tenant sees that one alone, an admin's too", async () => {
    const { token } = await make('admin', { scopes: ['write'], tenantId: rig.tenantId })
    const list = (await use(token, '/tenants')).json()
    expect(list.items.map((item: { id: string }) => item.id)).toEqual([rig.tenantId])
    expect((await use(token, `/tenants/${rig.otherTenantId}`)).statusCode).toBe(404)
    expect((await use(token, '/users')).statusCode).toBe(403)
    expect((await use(token, '/settings')).statusCode).toBe(403)
    expect((await use(token, '/tokens', 'POST', { name: 'x', scopes: ['read'] })).statusCode).toBe(403)
  })

  test.each([
    ['127.0.0.1', '127.0.0.1', 200],
    ['127.0.0.0/8', '::ffff:127.0.0.1', 200],
    ['192.0.2.0/24', '127.0.0.1', 403],
    ['2001:db8::/32', '2001:db8::7', 200],
    ['2001:db8::/32', '192.0.2.1', 403],
  ])('allowed from %s, used from %s: %i', async (cidr, from, status) => {
    const { token } = await make('member', { scopes: ['read'], allowedCidrs: [cidr] })
    expect((await use(token, '/auth/me', 'GET', undefined, from)).statusCode).toBe(status)
  })

  test('ends by revocation, expiry and with its user', async () => {
    const revoked = await make('member', { scopes: ['write'] })
    expect((await use(revoked.token, `/tokens/${revoked.id}`, 'DELETE')).statusCode).toBe(204)
    expect((await use(revoked.token, '/auth/me')).statusCode).toBe(401)
    expect((await rig.as('member').inject({ method: 'DELETE', url: `/tokens/${revoked.id}` })).statusCode).toBe(204)
    const expired = await make('member', {
      scopes: ['read'],
      expiresAt: new Date(Date.now() + 3_600_000).toISOString(),
    })
    expect((await use(expired.token, '/auth/me')).statusCode).toBe(200)
    await rig.db.apiToken.update({ where: { id: expired.id }, data: { expiresAt: new Date(Date.now() - 1) } })
    expect((await use(expired.token, '/auth/me')).statusCode).toBe(401)
    const orphan = await make('stranger', { scopes: ['read'] })
    await rig.db.user.update({ where: { id: rig.userIds.stranger }, data: { disabledAt: new Date() } })
    expect((await use(orphan.token, '/auth/me')).statusCode).toBe(401)
  })

  test.each([
    [{ scopes: [] }, 'scopes'],
    [{ scopes: ['all'] }, 'scopes.0'],
    [{ scopes: ['read'], expiresAt: '2020-01-01T00:00:00Z' }, 'expiresAt'],
    [{ scopes: ['read'], allowedCidrs: ['192.0.2.0/99'] }, 'allowedCidrs.0'],
    [{ scopes: ['read'], tenantId: 'x' }, 'tenantId'],
  ])('refuses %j', async (payload, field) => {
    const response = await rig
      .as('owner')
      .inject({ method: 'POST', url: '/tokens', payload: { name: 'ci', ...payload } })
    expect(response.json()).toMatchObject({ code: 'INVALID_INPUT', errors: [{ field }] })
  })
})
