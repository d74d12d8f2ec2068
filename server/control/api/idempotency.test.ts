import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ApiRig, createApiRig, type Kind } from '../../test/api.ts'
import { platformRoutes } from '../../test/platform-routes.ts'

describe('Idempotency-Key', () => {
  let rig: ApiRig
  beforeAll(async () => {
    rig = await createApiRig({ routes: platformRoutes })
  })
  afterAll(() => rig[Symbol.asyncDispose]())
  const post = (key: string, payload: object, url = '/tenants', kind: Kind = 'admin') =>
    rig.as(kind).inject({ method: 'POST', url, payload, headers: { 'idempotency-key': key } })

  test('gives the same answer to the same request, and does it once', async () => {
    const first = await post('one', { name: 'Once' })
    const again = await post('one', { name: 'Once' })
    expect([first.statusCode, again.statusCode]).toEqual([201, 201])
    expect(again.json()).toEqual(first.json())
    expect(again.headers['content-type']).toBe(first.headers['content-type'])
    expect([first.headers['idempotency-replayed'], again.headers['idempotency-replayed']]).toEqual([undefined, 'true'])
    expect(await rig.db.tenant.count({ where: { name: 'Once' } })).toBe(1)
  })

  test('refuses another request with the key', async () => {
    await post('two', { name: 'Two' })
    const other = await post('two', { name: 'Another' })
    expect([other.statusCode, other.json().code]).toEqual([422, 'IDEMPOTENCY_KEY_REUSED'])
  })

  test('of many at once one is done, the others get its answer or wait', async () => {
    const all = await Promise.all(Array.from({ length: 10 }, () => post('many', { name: 'Many' })))
    const statuses = new Set(all.map((response) => response.statusCode))
    expect([...statuses].every((status) => status === 201 || status === 409)).toBe(true)
    for (const response of all.filter(({ statusCode }) => statusCode === 409))
      expect(response.json().code).toBe('IDEMPOTENCY_IN_PROGRESS')
    expect(await rig.db.tenant.count({ where: { name: 'Many' } })).toBe(1)
    expect((await post('many', { name: 'Many' })).statusCode).toBe(201)
  })

  test("is each person's own", async () => {
    const made = await post('own', { name: 'x', scopes: ['read'] }, '/tokens')
    const other = await post('own', { name: 'x', scopes: ['read'] }, '/tokens', 'owner')
    expect([made.statusCode, other.statusCode]).toEqual([201, 201])
    expect(other.json().token).not.toBe(made.json().token)
  })

  test('keeps an answer with a secret sealed', async () => {
    const { token } = (await post('sealed', { name: 'x', scopes: ['read'] }, '/tokens')).json()
    expect((await post('sealed', { name: 'x', scopes: ['read'] }, '/tokens')).json().token).toBe(token)
    const rows = await rig.db.idempotencyKey.findMany()
    expect(rows.length).toBeGreaterThan(0)
    expect(JSON.stringify(rows)).not.toContain(token)
  })

  test('a failure and a dry run leave the key free', async () => {
    expect((await post('later', { name: 'First' })).json().code).toBe('CONFLICT')
    expect((await post('later', { name: 'Fresh' }, '/tenants?dryRun=true')).statusCode).toBe(201)
    expect((await post('later', { name: 'Fresh' })).statusCode).toBe(201)
  })

  test('repeats an answer without a body', async () => {
    const { id } = (await post('gone-1', { name: 'Gone' })).json()
    const remove = () =>
      rig.as('admin').inject({ method: 'DELETE', url: `/tenants/${id}`, headers: { 'idempotency-key': 'gone-2' } })
    expect([(await remove()).statusCode, (await remove()).statusCode]).toEqual([204, 204])
  })

  test('is not repeated to somebody whose access has ended', async () => {
    await post('ended', { name: 'x', scopes: ['read'] }, '/tokens', 'viewer')
    await rig.db.session.updateMany({ where: { userId: rig.userIds.viewer }, data: { revokedAt: new Date() } })
    expect((await post('ended', { name: 'x', scopes: ['read'] }, '/tokens', 'viewer')).statusCode).toBe(401)
  })

  test('after a crash in mid-request it is not done a second time', async () => {
    await post('cut', { name: 'Cut' })
    const where = { key: 'cut' }
    await rig.db.idempotencyKey.updateMany({ where, data: { status: null, createdAt: new Date(Date.now() - 600_000) } })
    const cut = await post('cut', { name: 'Cut' })
    expect([cut.statusCode, cut.json().detail]).toEqual([409, expect.stringContaining('was cut off')])
    await rig.db.idempotencyKey.updateMany({ where, data: { createdAt: new Date(Date.now() - 25 * 3_600_000) } })
    expect((await post('cut', { name: 'Cut again' })).statusCode).toBe(201)
  })

  test('must have a sensible length', async () => {
    expect((await post('k'.repeat(201), { name: 'Long' })).json().code).toBe('INVALID_INPUT')
  })
})
