import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../stack.ts'
import { run, visit } from '../visit.ts'
import { addHostname, makeSite, startWorld, untilLive, type World } from '../world.ts'

/** Clients without SNI: the address that they dial decides, and a shared one serves nobody's site. */
let world: World
let dedicated: { fingerprint: string }
beforeAll(async () => {
  world = await startWorld()
  const { api } = world
  const own = await makeSite(api, 'Own address', { 'index.html': 'the site of 127.0.0.2' })
  const other = await makeSite(api, 'Shared', { 'index.html': 'a site on the shared address' })
  await untilLive(api, (await addHostname(world, own, 'own.test')).id)
  await untilLive(api, (await addHostname(world, other, 'shared.test')).id)
  await api.post('/addresses', { address: '127.0.0.1', use: 'shared' })
  const address = await api.post<{ id: string }>('/addresses', { address: '127.0.0.2', use: 'dedicated' })
  await api.post(`/addresses/${address.id}/allocate`, { siteId: own.siteId })
  const byName = await visit({ port: world.stack.httpsPort, serverName: 'own.test', ca: world.root })
  dedicated = { fingerprint: byName.fingerprint }
  const byAddress = (): Promise<string> =>
    visit({ port: world.stack.httpsPort, address: '127.0.0.2', serverName: null }).then(
      (seen) => seen.body,
      (error: Error) => error.message,
    )
  await eventually(async () => (await byAddress()) === 'the site of 127.0.0.2', 'the dedicated address serves its site')
})
afterAll(async () => {
  await world?.[Symbol.asyncDispose]()
})

const sClient = (address: string, ...more: string[]): ReturnType<typeof run> =>
  run(
    'openssl',
    ['s_client', '-connect', `${address}:${world.stack.httpsPort}`, ...more],
    'GET / HTTP/1.0\r\nHost: own.test\r\n\r\n',
  )

test('openssl without a name gets the dedicated site and its certificate', async () => {
  const { stdout } = await sClient('127.0.0.2', '-noservername', '-ign_eof')
  expect(stdout).toContain('the site of 127.0.0.2')
  const seen = await visit({ port: world.stack.httpsPort, address: '127.0.0.2', serverName: null })
  expect(seen).toMatchObject({ status: 200, fingerprint: dedicated.fingerprint })
})

test('curl by address gets the dedicated site', async () => {
  const { stdout } = await run('curl', ['-ksS', `https://127.0.0.2:${world.stack.httpsPort}/`])
  expect(stdout).toBe('the site of 127.0.0.2')
})

test('without a name the shared address refuses by alert and shows no certificate', async () => {
  for (const version of ['-tls1_2', '-tls1_3']) {
    const { stdout, stderr } = await sClient('127.0.0.1', '-noservername', version)
    expect(stdout + stderr).toMatch(/unrecognized name/i)
    expect(stdout).not.toContain('BEGIN CERTIFICATE')
  }
  const { code, stderr } = await run('curl', ['-ksS', `https://127.0.0.1:${world.stack.httpsPort}/`])
  expect(code).not.toBe(0)
  expect(stderr).toMatch(/unrecognized name/i)
})

test('an unknown name is refused on both', async () => {
  for (const address of ['127.0.0.1', '127.0.0.2']) {
    const { stdout, stderr } = await sClient(address, '-servername', 'unknown.test')
    expect(stdout + stderr).toMatch(/unrecognized name/i)
    expect(stdout).not.toContain('BEGIN CERTIFICATE')
  }
})

test('with a name each site is reached through both', async () => {
  for (const address of ['127.0.0.1', '127.0.0.2']) {
    const at = { port: world.stack.httpsPort, address, ca: world.root }
    expect((await visit({ ...at, serverName: 'own.test' })).body).toBe('the site of 127.0.0.2')
    expect((await visit({ ...at, serverName: 'shared.test', protocol: 'h2' })).body).toBe(
      'a site on the shared address',
    )
  }
})

test('a Host of another site is misdirected, an unknown one is not found', async () => {
  const at = { port: world.stack.httpsPort, serverName: 'own.test', ca: world.root }
  for (const protocol of ['http/1.1', 'h2'] as const) {
    expect((await visit({ ...at, protocol, host: 'shared.test' })).status).toBe(421)
    expect((await visit({ ...at, protocol, host: 'unknown.test' })).status).toBe(404)
  }
  const byAddress = await visit({
    port: world.stack.httpsPort,
    address: '127.0.0.2',
    serverName: null,
    host: 'shared.test',
  })
  expect(byAddress.status).toBe(421)
})

test('an address that is let go serves nobody any more', async () => {
  const { items } = await world.api.get<{ items: { id: string; address: string }[] }>('/addresses')
  const address = items.find((item) => item.address === '127.0.0.2')
  await world.api.post(`/addresses/${address?.id}/deallocate`)
  const attempt = (): Promise<string> =>
    visit({ port: world.stack.httpsPort, address: '127.0.0.2', serverName: null }).then(
      () => 'served',
      (error: Error) => error.message,
    )
  await expect.poll(attempt, { timeout: 30_000 }).toMatch(/unrecognized.name/i)
})
