import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { HostnameView } from '../../control/domains/schema.ts'
import { ApiProblem } from '../client.ts'
import { expectSeen } from '../fault-table.ts'
import { eventually } from '../stack.ts'
import { run, visit } from '../visit.ts'
import { addHostname, addSite, archiveOf, makeSite, type NewSite, startWorld, untilLive, type World } from '../world.ts'

/** docs/faults.md, "In the API and the UI": a clear problem, and nothing half-done. */
let world: World
let site: NewSite
const PANEL = 'panel.example.test'
beforeAll(async () => {
  world = await startWorld({ address: '127.0.0.1', env: { NAMEPLATE_PANEL_HOSTNAME: PANEL } })
  site = await makeSite(world.api, 'Site', { 'index.html': 'the old release' })
})
afterAll(async () => {
  await world?.[Symbol.asyncDispose]()
})

async function refusal(id: string, call: Promise<unknown>): Promise<void> {
  const error = await call.then(
    () => null,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(ApiProblem)
  expectSeen(id, (error as ApiProblem).message)
}

const hostnameCount = async (): Promise<number> => {
  const { items } = await world.api.get<{ items: unknown[] }>(`/hostnames?siteId=${site.siteId}`)
  return items.length
}

describe('names', () => {
  test.each([
    ['name-empty', ''],
    ['name-invalid', 'no spaces.example.com'],
    ['name-reserved', 'shop.local'],
    ['name-of-panel', PANEL],
    ['name-public-suffix', 'co.uk'],
    ['name-address', '192.0.2.1'],
    ['name-too-long', `${'a'.repeat(64)}.com`],
    ['name-wildcard', 'a.*.com'],
  ])('%s', async (id, name) => {
    await refusal(id, world.api.post('/hostnames', { name, ...site }))
    expect(await hostnameCount()).toBe(0)
  })

  test('name-twice', async () => {
    const first = await world.api.post<HostnameView>('/hostnames', { name: 'twice.test', ...site })
    await refusal('name-twice', world.api.post('/hostnames', { name: 'Twice.test.', ...site }))
    expect(await world.api.get<HostnameView>(`/hostnames/${first.id}`)).toMatchObject({ name: 'twice.test' })
    await world.api.delete(`/hostnames/${first.id}`)
  })
})

describe('bodies', () => {
  test('body-too-large', () =>
    refusal('body-too-large', world.api.post('/hostnames', { name: 'a.test', pad: 'x'.repeat(2_000_000) })))
  test('field-unknown', () => refusal('field-unknown', world.api.post('/hostnames', { naem: 'a.test', ...site })))
  test('body-not-json', async () => {
    const headers = { authorization: `Bearer ${world.api.token}`, 'content-type': 'application/json' }
    const response = await fetch(`${world.stack.apiUrl}/hostnames`, { method: 'POST', headers, body: '{' })
    expect(response.status).toBe(400)
    expect(response.headers.get('content-type')).toContain('application/problem+json')
    expectSeen('body-not-json', await response.text())
  })
  test('upstream-private', () => {
    const upstreams = [{ url: 'http://169.254.169.254/' }]
    return refusal(
      'upstream-private',
      world.api.post('/sites', { name: 'Proxy', tenantId: site.tenantId, kind: 'proxy', upstreams }),
    )
  })
  test('address-invalid', () =>
    refusal('address-invalid', world.api.post('/addresses', { address: '300.1.1.1', use: 'shared' })))
})

describe('archives', () => {
  const upload = (bytes: Buffer): Promise<unknown> =>
    world.api.upload(`/sites/${site.siteId}/releases`, 'application/gzip', bytes)
  const temporary = (): string[] => readdirSync(join(world.stack.dataDir, 'blobs', 'tmp'))

  test.each([
    ['archive-unknown', async () => Buffer.from('this is no archive')],
    ['archive-broken', async () => (await archiveOf({ 'index.html': 'x'.repeat(5_000) })).subarray(0, 40)],
    ['archive-outside', () => archiveOf({ '../etc/passwd': 'x' })],
  ])('%s', async (id, make) => {
    await refusal(id, upload(await make()))
    const { items } = await world.api.get<{ items: { number: number }[] }>(`/sites/${site.siteId}/releases`)
    expect(items.map((release) => release.number)).toEqual([1])
    expect(temporary()).toEqual([])
  })

  test('release-disk-full', async () => {
    // A site of its own: what lies on the small disk goes with it.
    const other = await addSite(world.api, site.tenantId, 'Full disk', { 'index.html': 'one' })
    const send = (): Promise<unknown> => world.api.upload(`/sites/${other.siteId}/releases`, 'application/gzip', large)
    const blobs = join(world.stack.dataDir, 'blobs')
    const mounted = await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', blobs])
    expect(mounted.stderr, 'a small tmpfs can be mounted').toBe('')
    const large = await archiveOf({ 'index.html': 'new', 'large.bin': Buffer.alloc(3_000_000, 'nameplate') })
    try {
      mkdirSync(join(blobs, 'tmp'), { recursive: true })
      await refusal('release-disk-full', send())
      expect(temporary()).toEqual([])
      await run('mount', ['-o', 'remount,size=64m', blobs])
      expect(await send()).toMatchObject({ number: 2 })
    } finally {
      await run('umount', ['-l', blobs])
    }
  })
})

describe('the CA', () => {
  const problemOf = async (id: string): Promise<string> => {
    const hostname = await eventually(async () => {
      const now = await world.api.get<HostnameView>(`/hostnames/${id}`)
      return now.certificate.state === 'failing' && now
    }, 'the certificate is failing')
    expect(hostname).toMatchObject({ ownership: { state: 'verified' }, live: false })
    return JSON.stringify(hostname.certificate.problem)
  }

  test('acme-validation-fails', async () => {
    await world.pebble.setA('elsewhere.test', ['127.0.0.77'])
    const hostname = await addHostname(world, site, 'elsewhere.test')
    expectSeen('acme-validation-fails', await problemOf(hostname.id))
    await world.pebble.setA('elsewhere.test', ['127.0.0.1'])
    await world.api.post(`/hostnames/${hostname.id}/check`)
    await untilLive(world.api, hostname.id)
  })

  test('acme-down', async () => {
    await world.pebble.stop()
    const hostname = await addHostname(world, site, 'later.test')
    expectSeen('acme-down', await problemOf(hostname.id))
    await world.pebble.restart()
    await world.api.post(`/hostnames/${hostname.id}/check`)
    await untilLive(world.api, hostname.id)
    const ca = await world.pebble.rootPem()
    const seen = await visit({ port: world.stack.httpsPort, serverName: 'later.test', ca })
    expect(seen.status).toBe(200)
  })
})
