import { createServer, type Server } from 'node:http'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../stack.ts'
import { run, visit } from '../visit.ts'
import { addHostname, makeSite, startWorld, untilLive, type World } from '../world.ts'

/** The panel as a site of its own listener, and the kinds of site besides files, through the whole product. */
const PANEL = 'panel.hosting.test'
let world: World
let upstream: Server
let tenantId: string
beforeAll(async () => {
  world = await startWorld({ env: { NAMEPLATE_PANEL_HOSTNAME: PANEL } })
  tenantId = (await makeSite(world.api, 'Static', { 'index.html': 'home', '404.html': 'own page' })).tenantId
  upstream = createServer((request, response) => {
    const { host, 'x-forwarded-for': from, 'x-forwarded-proto': proto } = request.headers
    response.end(JSON.stringify({ path: request.url, host, from, proto }))
  })
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', () => resolve()))
})
afterAll(async () => {
  upstream?.close()
  await world?.[Symbol.asyncDispose]()
})

async function takeLive(name: string, site: object): Promise<string> {
  const { id: siteId } = await world.api.post<{ id: string }>('/sites', { name, tenantId, ...site })
  await untilLive(world.api, (await addHostname(world, { tenantId, siteId }, name)).id)
  return siteId
}

const curl = (name: string, path: string, ...more: string[]): ReturnType<typeof run> => {
  const { httpsPort } = world.stack
  const args = ['-sS', '--cacert', world.rootFile, '--resolve', `${name}:${httpsPort}:127.0.0.1`]
  return run('curl', [...args, ...more, `https://${name}:${httpsPort}${path}`])
}

test('the panel is served under its own name and certificate, and signs people in', async () => {
  const panel = await eventually(async () => {
    const { items } = await world.api.get<{ items: { name: string; live: boolean }[] }>('/hostnames?q=panel')
    return items.find((item) => item.name === PANEL && item.live)
  }, 'the panel is live')
  expect(panel.name).toBe(PANEL)
  expect(await visit({ port: world.stack.httpsPort, serverName: PANEL, ca: world.root })).toMatchObject({
    status: 200,
    names: `DNS:${PANEL}`,
    body: expect.stringContaining('<html'),
  })
  const body = JSON.stringify({ email: 'admin@nameplate.test', password: 'correct horse battery' })
  const { stdout } = await curl(PANEL, '/api/v1/auth/login', '-i', '-H', 'content-type: application/json', '-d', body)
  expect(stdout).toMatch(/^HTTP\/2 200/)
  expect(stdout).toMatch(/set-cookie: __Host-[^;]+;[^\n]*Secure/i)
  expect(stdout).toContain('accessToken')
})

test('a proxy hands requests on with forwarded headers of our own making', async () => {
  const { port } = upstream.address() as { port: number }
  await takeLive('app.test', { kind: 'proxy', upstreams: [{ url: `http://127.0.0.1:${port}` }] })
  const { stdout } = await curl('app.test', '/a?b=c', '-H', 'X-Forwarded-For: 198.51.100.9')
  expect(JSON.parse(stdout)).toMatchObject({ path: '/a?b=c', from: '127.0.0.1', proto: 'https' })
  expect(JSON.parse(stdout).host).toMatch(/^app\.test(:\d+)?$/)
})

test('a redirect, and a site of a tenant that is suspended and comes back', async () => {
  await takeLive('old.test', { kind: 'redirect', redirectTo: 'https://new.test/base/', redirectStatus: 302 })
  const { stdout } = await curl('old.test', '/x?y', '-o', '/dev/null', '-w', '%{http_code} %{redirect_url}')
  expect(stdout).toBe('302 https://new.test/base/x?y')
  const status = async (): Promise<number> =>
    (await visit({ port: world.stack.httpsPort, serverName: 'old.test', ca: world.root })).status
  await world.api.patch(`/tenants/${tenantId}`, { state: 'suspended' })
  await expect.poll(status, { timeout: 30_000 }).toBe(503)
  await world.api.patch(`/tenants/${tenantId}`, { state: 'active' })
  await expect.poll(status, { timeout: 30_000 }).toBe(302)
})
