import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createLog } from '../../process/log.ts'
import type { MetricsServer } from '../../process/metrics-server.ts'
import { createTestAuthority } from '../../test/certificates.ts'
import { exchangeRaw, request } from '../../test/http-requests.ts'
import {
  addressRecord,
  type ListenerRig,
  nameRecord,
  runtimes,
  siteRecord,
  startListenerRig,
} from '../../test/listener-rig.ts'
import { createHandshakeCounts } from './handshake-counts.ts'
import { startStatusServer } from './status-page.ts'

describe.each(runtimes)('the metrics address on %s', (runtime) => {
  let rig: ListenerRig
  let server: MetricsServer
  beforeAll(async () => {
    const certificate = await (await createTestAuthority()).issue(['a.test', '127.0.0.2'])
    rig = await startListenerRig({ runtime })
    await rig.publish([
      rig.certificate(certificate),
      nameRecord('a.test', 'site-a', certificate),
      addressRecord('127.0.0.2', 'site-a', certificate),
      siteRecord('site-a', { manifest: rig.release({ 'index.html': 'hello' }) }),
    ])
    server = startStatusServer({
      settings: { metricsListen: { address: '127.0.0.1', port: 0 } },
      supervisor: {
        ...rig,
        members: rig.pool.members,
        edgeId: rig.edge.identity.edgeId,
        https: rig.message.https,
        http: rig.message.http,
      },
      store: rig.store,
      isConnected: () => false,
      version: 'test',
      log: createLog('test', 'fatal'),
    })
    while (server.port === null) await new Promise((resolve) => setTimeout(resolve, 20))
  })
  afterAll(async () => {
    await server.close()
    await rig.close()
  })
  const get = async (path: string) => (await fetch(`http://127.0.0.1:${server.port}${path}`)).text()
  const eventually = (pattern: RegExp) => expect.poll(() => get('/metrics'), { timeout: 15_000 }).toMatch(pattern)
  const ask = (host: string, more: object = {}) =>
    request({ protocol: 'http/1.1', port: rig.httpsPort, serverName: 'a.test', host, ...more })

  test('handshakes by version, session, server name and class of client; requests; refusals by reason', async () => {
    await ask('a.test')
    await ask('a.test', { protocol: 'h2' })
    await ask('a.test', { serverName: null, address: '127.0.0.2' })
    await ask('nowhere.test')
    await ask('a.test', { serverName: 'junk.test' }).catch(() => undefined)
    await exchangeRaw({ port: rig.httpPort }, 'GET / HTTP/1.0\r\nHost: a.test\r\n\r\n')
    await eventually(/^nameplate_edge_handshakes_total 4$/m)
    await eventually(/^nameplate_edge_requests_total\{status="2xx"\} 3$/m)
    const text = await get('/metrics')
    expect(text).toMatch(
      /^nameplate_edge_handshake_kinds_total\{version="TLSv1\.3",session="full",name="sni",client="t13d\dxh2"\} 1$/m,
    )
    expect(text).toMatch(
      /^nameplate_edge_handshake_kinds_total\{version="TLSv1\.3",session="full",name="none",client="t13i\dx\w\w"\} 1$/m,
    )
    expect(text).toMatch(/^nameplate_edge_refused_connections_total\{reason="unknownName"\} 1$/m)
    expect(text).toMatch(/^nameplate_edge_requests_by_protocol_total\{protocol="HTTP\/2"\} 1$/m)
    expect(text).toMatch(/^nameplate_edge_context_bytes [1-9]\d*$/m)
    expect(text).toMatch(/^nameplate_edge_context_lookups_total\{result="hit"\} [1-9]\d*$/m)
    expect(text).toMatch(/^nameplate_edge_context_lookups_total\{result="miss"\} [1-9]\d*$/m)
    expect(text).toMatch(/^nameplate_edge_context_builds_total 1$/m)
    expect(text).toMatch(/^nameplate_edge_context_evictions_total 0$/m)
    expect(text).toMatch(/^nameplate_edge_worker_resident_bytes [1-9]\d*$/m)
    expect(text).not.toMatch(/a\.test|site-a|junk/)
    for (const line of text.trim().split('\n'))
      expect(line).toMatch(/^(# (HELP|TYPE) .+|[a-z_]+(\{[^}]+\})? [\d.e+-]+)$/)
  })

  test('the counters of a worker that was killed stay in the sums', async () => {
    const [pid = 0] = rig.pids()
    process.kill(pid, 'SIGKILL')
    await eventually(/^nameplate_edge_worker_starts_total 2$/m)
    const text = await get('/metrics')
    expect(text).toMatch(/^nameplate_edge_handshakes_total 4$/m)
    expect(text).toMatch(/^nameplate_edge_context_builds_total 1$/m)
  })

  test('the status says what runs, and to read as well', async () => {
    await expect
      .poll(async () => JSON.parse(await get('/status')).workers[0]?.connections, { timeout: 15_000 })
      .toBeTypeOf('number')
    const status = JSON.parse(await get('/status'))
    expect(status).toMatchObject({ isConnected: false, version: 'test', edgeId: rig.edge.identity.edgeId })
    expect(status.ports.https[0].port).toBe(rig.httpsPort)
    expect(status.workers[0].pid).toBe(rig.pids()[0])
    expect(await get('/')).toContain('<pre>')
    expect(JSON.stringify(status)).not.toContain(rig.message.privateKey)
    expect((await fetch(`http://127.0.0.1:${server.port}/else`)).status).toBe(404)
    expect((await fetch(`http://127.0.0.1:${server.port}/status`, { method: 'POST' })).status).toBe(405)
  })
})

test('whatever clients send, the number of kinds is bounded', () => {
  const counts = createHandshakeCounts(5)
  for (let suites = 0; suites < 100; suites += 10)
    for (const alpn of [[], ['h2'], ['http/1.1'], ['x']]) {
      const hello = { serverName: null, alpn, suites: new Array<number>(suites).fill(1) }
      counts.note(hello, { version: 'TLSv1.2', cipher: '', isResumed: true })
    }
  expect(Object.keys(counts.byKind)).toHaveLength(6)
  expect(Object.values(counts.byKind).reduce((sum, count) => sum + count, 0)).toBe(40)
})
