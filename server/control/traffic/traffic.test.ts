import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { HOUR_MS, OTHER_SITE, type TrafficField, type TrafficRow, trafficFields } from '../../contract/traffic.ts'
import { type ApiRig, createApiRig, statusByKind } from '../../test/api.ts'
import { seedSite, silentLog } from '../../test/publish-rig.ts'
import { createLogTails } from './log-tails.ts'
import { trafficRoutes } from './routes.ts'
import { createTrafficService } from './service.ts'
import { addTraffic, forgetReceipts, forgetTraffic } from './store.ts'

const row = (siteId: string, hour: number, counts: Partial<Record<TrafficField, number>>): TrafficRow => ({
  siteId,
  hour,
  counts: trafficFields.map((field) => counts[field] ?? 0),
})
const now = Math.floor(Date.now() / HOUR_MS)
const timeOf = (hour: number) => new Date(hour * HOUR_MS).toISOString()

describe('traffic', () => {
  let rig: ApiRig
  let site: string
  let other: string
  beforeAll(async () => {
    rig = await createApiRig({
      routes: ({ db }) => [trafficRoutes(createTrafficService(db), createLogTails({ db, log: silentLog }))],
    })
    site = await seedSite(rig.db, rig.tenantId)
    other = await seedSite(rig.db, rig.otherTenantId)
    const edgeId = randomUUID()
    const spoolId = randomUUID()
    const batch = {
      spoolId,
      sequence: 5,
      rows: [row(site, now, { requests: 3, bytesOut: 100, bytesIn: 70, http2: 3, tls13: 3 })],
    }
    expect(await addTraffic(rig.db, edgeId, batch)).toBe(true)
    expect(await addTraffic(rig.db, edgeId, batch)).toBe(false)
    const more = [
      row(site, now, { requests: 2, bytesIn: 5 }),
      // Of an edge that does not count the newest field.
      { siteId: other, hour: now - 31, counts: [1, 2] },
      row(site, now - 30, { requests: 7 }),
      row(other, now, { requests: 9 }),
    ]
    expect(await addTraffic(rig.db, edgeId, { spoolId, sequence: 6, rows: more })).toBe(true)
    const strange = [row('no-uuid', now, { requests: 1 }), row('neither', now, { requests: 1 })]
    expect(await addTraffic(rig.db, randomUUID(), { spoolId: randomUUID(), sequence: 1, rows: strange })).toBe(true)
  })
  afterAll(() => rig[Symbol.asyncDispose]())
  const read = async (kind: 'viewer' | 'admin', url: string) => (await rig.as(kind).inject({ url })).json()

  test('of a site are seen by its tenant and the platform alone, totals by the platform', async () => {
    expect(await statusByKind(rig, { url: `/sites/${site}/traffic` })).toEqual({
      guest: 401,
      stranger: 404,
      viewer: 200,
      member: 200,
      owner: 200,
      support: 200,
      admin: 200,
    })
    expect(await statusByKind(rig, { url: '/traffic' })).toEqual({
      guest: 401,
      stranger: 403,
      viewer: 403,
      member: 403,
      owner: 403,
      support: 200,
      admin: 200,
    })
    expect((await rig.as('admin').inject({ url: `/sites/${randomUUID()}/traffic` })).statusCode).toBe(404)
  })

  test('batches are added once each, by the number of their spool', async () => {
    const { items } = await read('viewer', `/sites/${site}/traffic`)
    expect(items).toMatchObject([{ at: timeOf(now), requests: 5, bytesOut: 100, bytesIn: 75, http2: 3 }])
    const old = await rig.db.trafficHour.findMany({ where: { siteId: other, hour: timeOf(now - 31) } })
    expect(old).toMatchObject([{ requests: 1n, bytesOut: 2n, bytesIn: 0n }])
  })

  test('a range is summed by hour or by day', async () => {
    const from = timeOf(now - 48)
    const { items } = await read('viewer', `/sites/${site}/traffic?from=${from}`)
    expect(items.map((item: { at: string; requests: number }) => [item.at, item.requests])).toEqual([
      [timeOf(now - 30), 7],
      [timeOf(now), 5],
    ])
    const days = await read('viewer', `/sites/${site}/traffic?by=day`)
    expect(days.items.reduce((sum: number, item: { requests: number }) => sum + item.requests, 0)).toBe(12)
    expect(days.items.every((item: { at: string }) => item.at.endsWith('T00:00:00.000Z'))).toBe(true)
  })

  test('totals hold all sites, and what is of none', async () => {
    const { items } = await read('admin', '/traffic')
    expect(items).toMatchObject([{ at: timeOf(now), requests: 16 }])
    const none = await rig.db.trafficHour.findMany({ where: { siteId: OTHER_SITE } })
    expect(none.map(({ requests }) => Number(requests))).toEqual([2])
  })

  test.each([
    ['from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z', 'INVALID_INPUT'],
    ['from=2026-01-01T00:00:00Z&to=2026-03-01T00:00:00Z', 'INVALID_INPUT'],
    ['from=2020-01-01T00:00:00Z&to=2026-03-01T00:00:00Z&by=day', 'INVALID_INPUT'],
    ['by=minute', 'INVALID_INPUT'],
    ['from=yesterday', 'INVALID_INPUT'],
  ])('refuses %s', async (query, code) => {
    const answer = await rig.as('viewer').inject({ url: `/sites/${site}/traffic?${query}` })
    expect([answer.statusCode, answer.json().code]).toEqual([400, code])
  })

  test('edges that report the same hour at once lose nothing', async () => {
    const busy = randomUUID()
    const hour = now - 100
    const edges = Array.from({ length: 6 }, () => ({ edgeId: randomUUID(), spoolId: randomUUID() }))
    const report = async ({ edgeId, spoolId }: { edgeId: string; spoolId: string }) => {
      for (const sequence of [1, 2, 2, 3])
        await addTraffic(rig.db, edgeId, {
          spoolId,
          sequence,
          rows: [row(busy, hour, { requests: 1 }), row(site, hour, {})],
        })
    }
    await Promise.all(edges.map(report))
    const [sum] = await rig.db.trafficHour.findMany({ where: { siteId: busy } })
    expect(Number(sum?.requests)).toBe(18)
  })

  test('old counters and receipts are forgotten', async () => {
    expect(await forgetTraffic(rig.db, new Date((now - 50) * HOUR_MS), 100)).toBeGreaterThan(0)
    expect(await rig.db.trafficHour.count({ where: { hour: { lt: new Date((now - 50) * HOUR_MS) } } })).toBe(0)
    expect(await forgetReceipts(rig.db, new Date(0), 100)).toBe(0)
    expect(await forgetReceipts(rig.db, new Date(Date.now() + HOUR_MS), 100)).toBeGreaterThan(0)
  })
})
