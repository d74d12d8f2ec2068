import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { accessLogSetting, defaultAccessLog } from '../../contract/access-log.ts'
import { defaultListenerLimits } from '../../contract/listener-limits.ts'
import { type ApiRig, createApiRig } from '../../test/api.ts'
import { platformRoutes } from '../../test/platform-routes.ts'
import { seedInstallation } from '../../test/publish-rig.ts'
import { publishBatch } from '../publish/sequence.ts'
import { readPlatformSettings } from './store.ts'

describe('settings', () => {
  let rig: ApiRig
  beforeAll(async () => {
    rig = await createApiRig({ routes: platformRoutes })
  })
  afterAll(() => rig[Symbol.asyncDispose]())
  const change = (payload: object) => rig.as('admin').inject({ method: 'PATCH', url: '/settings', payload })
  const told = async () => (await rig.as('viewer').inject({ url: '/settings/public' })).json()

  test('have defaults, change one by one, and tenants are told', async () => {
    expect(await told()).toEqual({ publicAddresses: [], cnameTarget: null, supportContact: null, httpsPort: 443 })
    expect((await change({ publicAddresses: ['192.0.2.1', '2001:db8::1'] })).statusCode).toBe(200)
    const all = await change({ cnameTarget: 'edge.example.test' })
    expect(all.json()).toMatchObject({
      publicAddresses: ['192.0.2.1', '2001:db8::1'],
      cnameTarget: 'edge.example.test',
    })
    expect(await told()).toMatchObject({ cnameTarget: 'edge.example.test' })
    expect((await change({ cnameTarget: null })).json().cnameTarget).toBeNull()
    expect(await rig.db.event.count({ where: { action: 'settings.changed' } })).toBe(3)
  })

  test.each([
    [{ publicAddresses: ['not an address'] }],
    [{ publicAddresses: '192.0.2.1' }],
    [{ cnameTarget: 'with space' }],
    [{ unknown: 1 }],
    [{ expiredCertificate: 'hide' }],
    [{ listenerLimits: { ...defaultListenerLimits, siteConnections: 0 } }],
    [{ listenerLimits: { ...defaultListenerLimits, exempt: ['10.0.0.0/99'] } }],
    [{ listenerLimits: { siteConnections: 5 } }],
    [{ accessLog: { ...defaultAccessLog, format: 'xml' } }],
    [{ accessLog: { ...defaultAccessLog, retentionDays: 0 } }],
    [{ accessLog: { ...defaultAccessLog, maxBytes: 1 } }],
    [{ accessLog: { format: 'combined' } }],
    [{ 'access-log': defaultAccessLog }],
    [{ doctor: { httpProbe: 'no' } }],
    [{ doctor: {} }],
    [{ doctor: { httpProbe: false, other: 1 } }],
  ])('refuse %j', async (payload) => {
    expect((await change(payload)).json().code).toBe('INVALID_INPUT')
  })

  test('for the edges are published', async () => {
    const limits = { ...defaultListenerLimits, siteConnections: 77, exempt: ['10.0.0.0/8'] }
    const accessLog = { format: 'combined', retentionDays: 7, maxBytes: 65_536, maxSiteBytes: 1_000_000 }
    const changed = await change({ expiredCertificate: 'abort', listenerLimits: limits, accessLog })
    expect(changed.json()).toMatchObject({ expiredCertificate: 'abort', listenerLimits: limits, accessLog })
    await seedInstallation(rig.db)
    await publishBatch(rig.db, Date.now())
    const rows = await rig.db.feedRecord.findMany({ where: { kind: 'setting' }, orderBy: { key: 'asc' } })
    expect(rows.map(({ key, payload }) => [key, payload])).toEqual([
      ['accessLog', { value: accessLog }],
      ['expiredCertificate', { value: 'abort' }],
      ['listenerLimits', { value: limits }],
    ])
    // As the edges read it.
    expect(accessLogSetting(accessLog)).toEqual(accessLog)
  })

  test('a stored value that does not fit has its default', async () => {
    await rig.db.setting.create({ data: { key: 'supportContact', value: { from: 'another version' } } })
    expect((await readPlatformSettings(rig.db)).supportContact).toBeNull()
  })
})
