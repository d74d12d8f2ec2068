import { randomUUID } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ApiRig, createApiRig, type Kind, kinds } from '../../test/api.ts'
import { blocksOf } from '../../test/event-stream.ts'
import { seedSite, silentLog, until } from '../../test/publish-rig.ts'
import { createLogTails, type LogTails } from './log-tails.ts'
import { trafficRoutes } from './routes.ts'
import { createTrafficService } from './service.ts'

describe('an access log that is followed', () => {
  let rig: ApiRig
  let tails: LogTails
  let base: string
  let site: string
  let followed: readonly string[] = []
  beforeAll(async () => {
    rig = await createApiRig({
      routes: ({ db }) => {
        tails = createLogTails({ db, log: silentLog, heartbeatMs: 100 })
        return [trafficRoutes(createTrafficService(db), tails)]
      },
    })
    tails.connect((siteIds) => {
      followed = siteIds
    })
    await rig.app.listen({ port: 0, host: '127.0.0.1' })
    base = `http://127.0.0.1:${(rig.app.server.address() as AddressInfo).port}/api/v1`
    site = await seedSite(rig.db, rig.tenantId)
  })
  afterAll(() => rig[Symbol.asyncDispose]())

  const open = (kind: Kind, siteId = site) => {
    const { token } = rig.as(kind)
    return fetch(`${base}/sites/${siteId}/access-log`, {
      headers: token === null ? {} : { authorization: `Bearer ${token}` },
    })
  }

  test('is shown to people of its tenant and of the platform, and edges hear of it only then', async () => {
    const seen: Partial<Record<Kind, number>> = {}
    expect(followed).toEqual([])
    for (const kind of kinds) {
      const response = await open(kind)
      seen[kind] = response.status
      expect(followed).toEqual(response.ok ? [site] : [])
      await response.body?.cancel()
      await until('nobody follows it', () => followed.length === 0)
    }
    expect(seen).toEqual({
      guest: 401,
      stranger: 404,
      viewer: 200,
      member: 200,
      owner: 200,
      support: 200,
      admin: 200,
    })
    expect((await open('admin', randomUUID())).status).toBe(404)
  })

  test('comes line by line to all who follow it, and lines of others do not', async () => {
    const other = await seedSite(rig.db, rig.otherTenantId)
    const responses = [await open('viewer'), await open('admin')]
    const foreign = await open('admin', other)
    expect([...followed].sort()).toEqual([site, other].sort())
    tails.take({ siteId: site, lines: ['{"status":200}', '{"status":404}'], leftOut: 0 })
    tails.take({ siteId: other, lines: ['of the other'], leftOut: 7 })
    tails.take({ siteId: site, lines: ['last'], leftOut: 3 })
    const textOf = async (response: Response, last: string) => {
      const blocks: string[] = []
      for await (const block of blocksOf(response)) {
        if (!block.startsWith('retry:') && !block.startsWith(':')) blocks.push(block)
        if (block === last) break
      }
      return blocks
    }
    for (const response of responses)
      expect(await textOf(response, 'event: missed\ndata: 3')).toEqual([
        'data: {"status":200}',
        'data: {"status":404}',
        'data: last',
        'event: missed\ndata: 3',
      ])
    expect(await textOf(foreign, 'event: missed\ndata: 7')).toEqual(['data: of the other', 'event: missed\ndata: 7'])
  })

  test('that a reader does not read costs lines of its own, and is told', async () => {
    const response = await open('member')
    for (let i = 0; i < 40; i += 1) tails.take({ siteId: site, lines: ['x'.repeat(600_000)], leftOut: 0 })
    const blocks = blocksOf(response)
    let missed = 0
    for await (const block of blocks) {
      if (missed === 0) tails.take({ siteId: site, lines: ['now'], leftOut: 0 })
      missed = Number(/^event: missed\ndata: (\d+)$/.exec(block)?.[1] ?? missed)
      if (missed > 0) break
    }
    expect(missed).toBeGreaterThan(0)
  })

  test('is a conflict where the site has none, and the streams of one user are few', async () => {
    const off = await seedSite(rig.db, rig.tenantId)
    await rig.db.site.update({ where: { id: off }, data: { options: { accessLog: false } } })
    const refused = await open('viewer', off)
    expect([refused.status, await refused.json()]).toMatchObject([409, { code: 'CONFLICT' }])
    const responses = await Promise.all(Array.from({ length: 6 }, () => open('owner')))
    expect(responses.map(({ status }) => status).sort()).toEqual([200, 200, 200, 200, 200, 429])
    for (const { body } of responses) await body?.cancel()
  })

  test('ends when the log is turned off, and when the session ends', async () => {
    const turned = await seedSite(rig.db, rig.tenantId)
    const first = await open('viewer', turned)
    await rig.db.site.update({ where: { id: turned }, data: { options: { accessLog: false } } })
    for await (const _ of blocksOf(first));
    const second = await open('viewer')
    await rig.db.session.updateMany({ where: { userId: rig.userIds.viewer }, data: { revokedAt: new Date() } })
    for await (const _ of blocksOf(second));
    expect((await open('viewer')).status).toBe(401)
  })
})
