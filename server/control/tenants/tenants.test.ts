import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ApiRig, createApiRig, type Kind } from '../../test/api.ts'
import { platformRoutes } from '../../test/platform-routes.ts'
import { requireTenant } from '../auth/access.ts'
import { createAuthenticate } from '../auth/authenticate.ts'
import { planLimits } from './limits.ts'

describe('tenants', () => {
  let rig: ApiRig
  beforeAll(async () => {
    rig = await createApiRig({ routes: platformRoutes })
  })
  afterAll(() => rig[Symbol.asyncDispose]())
  const call = (method: 'GET' | 'POST' | 'PATCH' | 'DELETE', url: string, payload?: object, kind: Kind = 'admin') =>
    rig.as(kind).inject({ method, url, ...(payload === undefined ? {} : { payload }) })

  test('everybody lists the own tenants only', async () => {
    const names = async (kind: Kind) =>
      (await call('GET', '/tenants?limit=200', undefined, kind)).json().items.map((item: { name: string }) => item.name)
    expect(await names('viewer')).toEqual(['First'])
    expect(await names('stranger')).toEqual(['Other'])
    expect(await names('support')).toEqual(expect.arrayContaining(['First', 'Other']))
  })

  test('a plan limits, and cannot be deleted while it is in use', async () => {
    const plan = (await call('POST', '/plans', { name: 'Small', maxSites: 2, maxReleaseBytes: 5_000_000_000 })).json()
    const tenant = (await call('POST', '/tenants', { name: 'Planned', planId: plan.id })).json()
    expect(tenant).toMatchObject({ planId: plan.id, planName: 'Small', state: 'active', isSystem: false })
    expect(await rig.db.$transaction((tx) => planLimits(tx, tenant.id))).toEqual({
      maxSites: 2,
      maxHostnames: null,
      maxReleaseBytes: 5_000_000_000,
    })
    expect((await call('DELETE', `/plans/${plan.id}`)).json().code).toBe('IN_USE')
    expect((await call('PATCH', `/tenants/${tenant.id}`, { planId: null })).json().planId).toBeNull()
    expect((await call('DELETE', `/plans/${plan.id}`)).statusCode).toBe(204)
  })

  test('two that count and add at once cannot both take the last place', async () => {
    const order: string[] = []
    const add = (name: string) =>
      rig.db.$transaction(async (tx) => {
        await planLimits(tx, rig.tenantId)
        order.push(`${name} in`)
        await tx.site.count({ where: { tenantId: rig.tenantId } })
        order.push(`${name} out`)
      })
    await Promise.all(['a', 'b', 'c'].map(add))
    for (let at = 0; at < order.length; at += 2) expect(order[at]?.[0]).toBe(order[at + 1]?.[0])
  })

  test.each([
    [{ name: 'First' }, 409, 'CONFLICT'],
    [{ name: ' padded ' }, 400, 'INVALID_INPUT'],
    [{ name: '' }, 400, 'INVALID_INPUT'],
    [{ name: 'x', planId: '00000000-0000-7000-8000-000000000000' }, 400, 'INVALID_INPUT'],
  ])('refuses %j', async (payload, status, code) => {
    const response = await call('POST', '/tenants', payload)
    expect([response.statusCode, response.json().code]).toEqual([status, code])
  })

  test('is deleted only when nothing is served for it any more', async () => {
    const { id } = (await call('POST', '/tenants', { name: 'Leaving' })).json()
    await call('POST', `/tenants/${id}/members`, { email: 'member@example.test', role: 'viewer' })
    const site = await rig.db.site.create({
      data: { tenantId: id, name: 's', kind: 'redirect', redirectTo: 'https://example.test/' },
    })
    const refused = await call('DELETE', `/tenants/${id}`)
    expect([refused.json().code, refused.json().detail]).toEqual(['IN_USE', expect.stringContaining('1 sites')])
    await rig.db.site.delete({ where: { id: site.id } })
    expect((await call('DELETE', `/tenants/${id}`)).statusCode).toBe(204)
    expect(await rig.db.membership.count({ where: { tenantId: id } })).toBe(0)
  })

  test("the platform's own tenant stays", async () => {
    const { id } = await rig.db.tenant.create({ data: { name: 'Platform', isSystem: true } })
    expect((await call('PATCH', `/tenants/${id}`, { state: 'suspended' })).json().code).toBe('CONFLICT')
    expect((await call('DELETE', `/tenants/${id}`)).json().code).toBe('CONFLICT')
  })

  test('people of a suspended tenant look, but change nothing', async () => {
    const authenticate = createAuthenticate(rig.db)
    const session = await rig.db.session.findFirstOrThrow({ where: { userId: rig.userIds.owner } })
    const actor = () => authenticate({ kind: 'session', userId: rig.userIds.owner, sessionId: session.id }, '127.0.0.1')
    await call('PATCH', `/tenants/${rig.tenantId}`, { state: 'suspended' })
    const suspended = await actor()
    expect(() => requireTenant(suspended, rig.tenantId, 'viewer')).not.toThrow()
    expect(() => requireTenant(suspended, rig.tenantId, 'member')).toThrow('TENANT_SUSPENDED')
    expect(() => requireTenant(rig.as('admin').actor, rig.tenantId, 'owner')).not.toThrow()
    await call('PATCH', `/tenants/${rig.tenantId}`, { state: 'active' })
    const resumed = await actor()
    expect(() => requireTenant(resumed, rig.tenantId, 'owner')).not.toThrow()
    const actions = await rig.db.event.findMany({ where: { tenantId: rig.tenantId }, orderBy: { id: 'asc' } })
    expect(actions.map((event) => event.action)).toEqual(['tenant.suspended', 'tenant.resumed'])
  })
})

describe('members', () => {
  let rig: ApiRig
  let members: string
  beforeAll(async () => {
    rig = await createApiRig({ routes: platformRoutes })
    members = `/tenants/${rig.tenantId}/members`
  })
  afterAll(() => rig[Symbol.asyncDispose]())
  const call = (method: 'GET' | 'POST' | 'PATCH' | 'DELETE', url: string, payload?: object, kind: Kind = 'owner') =>
    rig.as(kind).inject({ method, url, ...(payload === undefined ? {} : { payload }) })

  test('an owner adds an existing person, once', async () => {
    const added = await call('POST', members, { email: 'Stranger@example.test', role: 'member' })
    expect(added.json()).toMatchObject({ userId: rig.userIds.stranger, email: 'stranger@example.test', role: 'member' })
    expect((await call('POST', members, { email: 'stranger@example.test', role: 'owner' })).json().code).toBe(
      'CONFLICT',
    )
    expect((await call('POST', members, { email: 'nobody@example.test', role: 'owner' })).json().code).toBe('NOT_FOUND')
    expect((await call('GET', `/tenants/${rig.tenantId}`, undefined, 'stranger')).statusCode).toBe(200)
    expect((await call('DELETE', `${members}/${rig.userIds.stranger}`)).statusCode).toBe(204)
    expect((await call('GET', `/tenants/${rig.tenantId}`, undefined, 'stranger')).statusCode).toBe(404)
    expect((await call('DELETE', `${members}/${rig.userIds.stranger}`)).statusCode).toBe(404)
  })

  test('lists in pages', async () => {
    const first = (await call('GET', `${members}?limit=2`)).json()
    const second = (await call('GET', `${members}?limit=2&cursor=${first.nextCursor}`)).json()
    const emails = [...first.items, ...second.items].map((member: { email: string }) => member.email)
    expect(emails.sort()).toEqual(['member@example.test', 'owner@example.test', 'viewer@example.test'])
    expect(second.nextCursor).toBeNull()
  })

  test('the last owner stays, unless an administrator decides', async () => {
    const own = `${members}/${rig.userIds.owner}`
    expect((await call('PATCH', own, { role: 'member' })).json().code).toBe('CONFLICT')
    expect((await call('DELETE', own)).json().code).toBe('CONFLICT')
    expect((await call('PATCH', own, { role: 'owner' })).statusCode).toBe(200)
    expect((await call('PATCH', `${members}/${rig.userIds.member}`, { role: 'owner' })).statusCode).toBe(200)
    const both = await Promise.all([
      call('PATCH', own, { role: 'viewer' }, 'member'),
      call('PATCH', `${members}/${rig.userIds.member}`, { role: 'viewer' }, 'owner'),
    ])
    expect(both.map((response) => response.statusCode).filter((status) => status === 200)).toHaveLength(1)
    const owner = await rig.db.membership.findFirstOrThrow({ where: { tenantId: rig.tenantId, role: 'owner' } })
    expect((await call('DELETE', `${members}/${owner.userId}`, undefined, 'admin')).statusCode).toBe(204)
  })

  test('a member leaves', async () => {
    expect((await call('DELETE', `${members}/${rig.userIds.viewer}`, undefined, 'viewer')).statusCode).toBe(204)
    expect((await call('GET', members, undefined, 'viewer')).statusCode).toBe(404)
  })
})
