import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import https from 'node:https'
import net, { type AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { SiteRecord } from '../../contract/records.ts'
import { createTestAuthority, type TestAuthority } from '../../test/certificates.ts'
import { request, type TestRequest } from '../../test/http-requests.ts'
import { type ListenerRig, nameRecord, runtimes, siteRecord, startListenerRig } from '../../test/listener-rig.ts'

type Answer = (request: IncomingMessage, response: ServerResponse) => void

/** An upstream whose answer can be changed, and the requests that it saw. */
type TestUpstream = { readonly url: string; answer: Answer; seen: string[]; close(): void }

async function start(name: string, tls?: { key: string; cert: string }): Promise<TestUpstream> {
  const handle = (incoming: IncomingMessage, response: ServerResponse): void => {
    upstream.seen.push(`${incoming.method} ${incoming.url}`)
    upstream.answer(incoming, response)
  }
  const server = tls === undefined ? createServer(handle) : https.createServer(tls, handle)
  const { promise, resolve } = Promise.withResolvers<void>()
  server.listen(0, '127.0.0.1', resolve)
  await promise
  const { port } = server.address() as AddressInfo
  const upstream: TestUpstream = {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    answer: (_, response) => void response.end(name),
    seen: [],
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
  return upstream
}

const reset: Answer = (incoming) => void (incoming.socket as net.Socket).resetAndDestroy()

describe.each(runtimes)('upstreams on %s', (runtime) => {
  let rig: ListenerRig
  let authority: TestAuthority
  const all: TestUpstream[] = []
  const hosts = ['u.example.com', 'loop.example.com']
  const upstream = async (name: string, tls?: { key: string; cert: string }): Promise<TestUpstream> => {
    const made = await start(name, tls)
    all.push(made)
    return made
  }
  const publish = (upstreams: readonly { url: string }[], options: SiteRecord['options'] = {}, key = hosts[0]) =>
    rig.publish([
      siteRecord(key ?? '', { kind: 'proxy', upstreams: upstreams.map(({ url }) => ({ url, weight: 1 })), options }),
    ])
  const ask = (options: Partial<TestRequest> = {}) =>
    request({ port: rig.httpsPort, host: 'u.example.com', ...options })
  const askMany = async (count: number): Promise<string[]> => {
    const bodies: string[] = []
    for (let turn = 0; turn < count; turn += 1) bodies.push((await ask()).body.toString())
    return bodies
  }
  /** A port where nobody listens any more. */
  const gone = async (): Promise<{ url: string }> => {
    const made = await start('gone')
    made.close()
    return made
  }
  beforeAll(async () => {
    authority = await createTestAuthority()
    const certificate = await authority.issue(hosts)
    rig = await startListenerRig({ runtime, outboundAllow: ['127.0.0.1/32'] })
    await rig.publish([rig.certificate(certificate), ...hosts.map((name) => nameRecord(name, name, certificate))])
  })
  afterAll(async () => {
    for (const one of all) one.close()
    await rig.close()
  })

  test('one that is gone costs no visitor a request, whatever its method', async () => {
    const well = await upstream('well')
    await publish([await gone(), well])
    expect(new Set(await askMany(8))).toEqual(new Set(['well']))
    await publish([await gone(), well])
    for (let turn = 0; turn < 4; turn += 1) {
      const answer = await ask({ method: 'POST', body: Buffer.from('once') })
      expect(answer.body.toString()).toBe('well')
    }
    expect(well.seen.filter((line) => line.startsWith('POST')).length).toBe(4)
  })

  test('what may have been done is not done twice', async () => {
    const [one, two] = [await upstream('one'), await upstream('two')]
    one.answer = reset
    two.answer = reset
    await publish([one, two])
    expect((await ask({ method: 'POST', body: Buffer.from('x') })).status).toBe(502)
    expect(one.seen.length + two.seen.length).toBe(1)
    expect((await ask()).status).toBe(502)
    expect(one.seen.length + two.seen.length).toBe(3)
  })

  test('one that fails is left alone, comes back by a trial, and all are tried when all are out', async () => {
    const [well, ill] = [await upstream('well'), await upstream('ill')]
    ill.answer = reset
    await publish([well, ill])
    expect(new Set(await askMany(12))).toEqual(new Set(['well']))
    expect(ill.seen.length).toBe(3)
    well.answer = reset
    // The first leads to the one that is in, which fails now; once it is out too, both are asked again.
    for (let turn = 0; turn < 4; turn += 1) expect((await ask()).status).toBe(502)
    ill.answer = (_, response) => void response.end('ill is back')
    expect((await ask()).body.toString()).toBe('ill is back')
  })

  test('checks take one out before a visitor meets it, and bring it back', async () => {
    const [well, ill] = [await upstream('well'), await upstream('ill')]
    const answer: Answer = (incoming, response) =>
      void response.writeHead(incoming.url === '/up?x' ? 503 : 200).end('ill')
    ill.answer = answer
    await publish([well, ill], { proxy: { health: { path: '/up?x', intervalSeconds: 1, timeoutSeconds: 1 } } })
    const until = async (isDone: (bodies: string[]) => boolean): Promise<void> => {
      for (;;) {
        if (isDone(await askMany(4))) return
        await sleep(200)
      }
    }
    await until((bodies) => bodies.every((body) => body === 'well'))
    expect(ill.seen.filter((line) => line === 'GET /up?x').length).toBeGreaterThanOrEqual(2)
    ill.answer = (_, response) => void response.end('ill')
    await until((bodies) => bodies.includes('ill'))
  })

  test('an upstream that says nothing is 504 with the page of the site, and nobody else is asked', async () => {
    const [silent, other] = [await upstream('silent'), await upstream('other')]
    silent.answer = () => undefined
    other.answer = () => undefined
    const errorPages = { 502: '<p>own 502', 504: '<p>own 504' }
    await publish([silent, other], { proxy: { responseTimeoutMs: 300 }, errorPages })
    for (const method of ['GET', 'POST']) {
      const answer = await ask({ method, path: `/${method}` })
      expect([answer.status, answer.body.toString(), answer.headers['content-type']]).toEqual([
        504,
        '<p>own 504',
        'text/html; charset=utf-8',
      ])
    }
    expect(silent.seen.length + other.seen.length).toBe(2)
    await publish([await gone()], { errorPages })
    const head = await ask({ method: 'HEAD' })
    expect([head.status, head.headers['content-length'], head.body.length]).toEqual([502, '10', 0])
  })

  test('one that takes no connection is given up after the time of the site', async () => {
    const well = await upstream('well')
    // It accepts and never answers the TLS handshake.
    const silent = net.createServer((socket) => void socket.on('error', () => undefined))
    const { promise, resolve } = Promise.withResolvers<void>()
    silent.listen(0, '127.0.0.1', resolve)
    await promise
    const url = `https://127.0.0.1:${(silent.address() as AddressInfo).port}`
    await publish([{ url }, well], { proxy: { connectTimeoutMs: 300 } })
    expect(new Set(await askMany(4))).toEqual(new Set(['well']))
    await publish([{ url }], { proxy: { connectTimeoutMs: 300 } })
    expect((await ask()).status).toBe(504)
    silent.close()
  })

  test('a root of one site opens nothing for another', async () => {
    const leaf = await authority.issue(['127.0.0.1'])
    const secure = await upstream('secure', { key: leaf.privateKeyPem, cert: leaf.chainPem })
    await publish([secure], { proxy: { caPem: authority.caPem } })
    await publish([secure], {}, 'loop.example.com')
    for (let turn = 0; turn < 2; turn += 1) {
      expect((await ask()).body.toString()).toBe('secure')
      expect((await ask({ host: 'loop.example.com' })).status).toBe(502)
    }
    await publish([secure], { proxy: { verifyTls: false } }, 'loop.example.com')
    expect((await ask({ host: 'loop.example.com' })).body.toString()).toBe('secure')
    await publish([secure], { proxy: { tlsServerName: 'other.example', caPem: authority.caPem } })
    expect((await ask()).status).toBe(502)
  })

  test('the listener is nobody’s upstream, and a way round ends as a loop', async () => {
    await publish([{ url: `https://127.0.0.1:${rig.httpsPort}` }], { proxy: { verifyTls: false } })
    expect((await ask()).status).toBe(502)
    // An outside relay, which the listener cannot recognise, leads back to it.
    const relay = await upstream('relay')
    let turns = 0
    relay.answer = (incoming, response) => {
      turns += 1
      const { 'cdn-loop': loop, host = '' } = incoming.headers
      const headers = { 'cdn-loop': String(loop) }
      request({ port: rig.httpsPort, host, path: incoming.url ?? '/', headers }).then(
        ({ status, body }) => response.writeHead(status).end(body),
        () => response.destroy(),
      )
    }
    await publish([relay])
    const answer = await ask({ headers: { 'cdn-loop': 'other; nameplate=1' } })
    expect([answer.status, turns]).toEqual([508, 4])
    expect(answer.body.toString()).toContain('Loop detected')
  })

  test('a body larger than the site accepts is refused', async () => {
    const well = await upstream('well')
    await publish([well], { maxBodyBytes: 10 })
    expect((await ask({ method: 'POST', body: Buffer.alloc(10) })).status).toBe(200)
    expect((await ask({ method: 'POST', body: Buffer.alloc(11) })).status).toBe(413)
  })
})
