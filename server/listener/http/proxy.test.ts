import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import https from 'node:https'
import net, { type AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { SiteRecord } from '../../contract/records.ts'
import { trafficFields } from '../../contract/traffic.ts'
import { createTestAuthority, type TestAuthority } from '../../test/certificates.ts'
import {
  exchangeRaw,
  openHttp2,
  openRaw,
  protocols,
  readAll,
  request,
  requestOn,
  type TestRequest,
} from '../../test/http-requests.ts'
import { type ListenerRig, nameRecord, runtimes, siteRecord, startListenerRig } from '../../test/listener-rig.ts'

/** An upstream on loopback, and what it saw. */
type TestUpstream = { readonly url: string; readonly close: () => void }

function startHttp(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<TestUpstream> {
  return listen(createServer(answer), 'http')
}

function startRaw(answer: (socket: net.Socket, firstBytes: string) => void): Promise<TestUpstream> {
  return listen(
    net.createServer((socket) => {
      socket.on('error', () => undefined)
      socket.once('data', (bytes) => answer(socket, bytes.toString('latin1')))
    }),
    'http',
  )
}

async function listen(server: Server | net.Server, scheme: string): Promise<TestUpstream> {
  const { promise, resolve } = Promise.withResolvers<void>()
  server.listen(0, '127.0.0.1', resolve)
  await promise
  const { port } = server.address() as AddressInfo
  return { url: `${scheme}://127.0.0.1:${port}`, close: () => void server.close() }
}

/** Says what it got, as JSON. */
function echo(incoming: IncomingMessage, response: ServerResponse): void {
  let bytes = 0
  incoming.on('data', (piece: Buffer) => {
    bytes += piece.length
  })
  incoming.on('end', () => {
    const { method, url, rawHeaders } = incoming
    response.writeHead(200, {
      'content-type': 'application/json',
      'set-cookie': ['a=1', 'b=2'],
      connection: 'x-hop',
      'x-hop': 'no',
    })
    response.end(JSON.stringify({ method, url, rawHeaders, bytes, peer: incoming.socket.remotePort }))
  })
}

type Echo = { method: string; url: string; rawHeaders: string[]; bytes: number; peer: number }

describe.each(runtimes)('proxy sites on %s', (runtime) => {
  let rig: ListenerRig
  let authority: TestAuthority
  const upstreams: TestUpstream[] = []
  const names = ['p.example.com', 'q.example.com']
  const bytesIn = (): number => rig.observation.totals().counts[trafficFields.indexOf('bytesIn')] ?? 0
  /** The count when what the tests before have sent is in it. */
  const settled = async (count = bytesIn()): Promise<number> => {
    await sleep(1_500)
    return count === bytesIn() ? count : settled()
  }
  const publish = (url: string, more: Partial<SiteRecord> = {}, key = 'p'): Promise<void> =>
    rig.publish([siteRecord(`${key}.example.com`, { kind: 'proxy', upstreams: [{ url, weight: 1 }], ...more })])
  const use = async (starting: Promise<TestUpstream>): Promise<TestUpstream> => {
    const upstream = await starting
    upstreams.push(upstream)
    return upstream
  }
  beforeAll(async () => {
    authority = await createTestAuthority()
    const certificate = await authority.issue(names)
    rig = await startListenerRig({ runtime, outboundAllow: ['127.0.0.1/32'] })
    await rig.publish([rig.certificate(certificate), ...names.map((name) => nameRecord(name, name, certificate))])
  })
  afterAll(async () => {
    for (const upstream of upstreams) upstream.close()
    await rig.close()
  })

  describe.each(protocols)('%s', (protocol) => {
    const ask = (options: Partial<TestRequest> = {}) =>
      request({ protocol, port: rig.httpsPort, host: 'p.example.com', ...options })
    const askEcho = async (
      options: Partial<TestRequest> = {},
    ): Promise<Echo & { field: (name: string) => string[] }> => {
      const answer = await ask(options)
      expect(answer.status).toBe(200)
      const seen = JSON.parse(answer.body.toString()) as Echo
      const field = (name: string): string[] =>
        seen.rawHeaders.filter((_, at) => at % 2 === 1 && seen.rawHeaders[at - 1]?.toLowerCase() === name)
      return { ...seen, field }
    }

    test('passes method, path, query and fields on, Host as it was', async () => {
      const { url } = await use(startHttp(echo))
      await publish(`${url}/base/`)
      const seen = await askEcho({
        path: '/a%2Fb//c?x=%20y',
        host: 'p.example.com:8443',
        serverName: 'p.example.com',
        headers: { 'x-own': 'kept', cookie: 'c=1; d=2' },
      })
      expect([seen.method, seen.url]).toEqual(['GET', '/base/a%2Fb//c?x=%20y'])
      expect(seen.field('host')).toEqual(['p.example.com:8443'])
      expect(seen.field('x-own')).toEqual(['kept'])
      expect(seen.field('cookie')).toEqual(['c=1; d=2'])
    })

    test('writes who was forwarded, and believes nobody who claims to have been', async () => {
      const { url } = await use(startHttp(echo))
      await publish(url)
      const headers = {
        'x-forwarded-for': '6.6.6.6',
        'x-forwarded-proto': 'http',
        'x-forwarded-host': 'evil.example',
        'x-forwarded-port': '1',
        x_forwarded_for: '6.6.6.6',
        forwarded: 'for=6.6.6.6',
        'x-real-ip': '6.6.6.6',
        'proxy-authorization': 'secret',
      }
      const seen = await askEcho({ headers })
      expect(seen.field('x-forwarded-for')).toEqual(['127.0.0.1'])
      expect(seen.field('x-forwarded-proto')).toEqual(['https'])
      expect(seen.field('x-forwarded-host')).toEqual(['p.example.com'])
      expect(seen.field('x-real-ip')).toEqual(['127.0.0.1'])
      expect(seen.field('forwarded')).toEqual(['for=127.0.0.1;host="p.example.com";proto=https'])
      for (const name of ['x-forwarded-port', 'x_forwarded_for', 'proxy-authorization'])
        expect(seen.field(name)).toEqual([])
    })

    test('answers keep their fields but those between neighbours', async () => {
      const { url } = await use(startHttp(echo))
      await publish(url)
      const answer = await ask()
      expect(answer.headers['set-cookie']).toEqual(['a=1', 'b=2'])
      expect(answer.headers['x-hop']).toBeUndefined()
    })

    test('bodies of every method arrive whole; one connection of each way is kept for them', async () => {
      const { url } = await use(startHttp(echo))
      await publish(url)
      const peers = new Set<number>()
      const before = await settled()
      for (const [method, size] of [
        ['POST', 3_000_000],
        ['PUT', 1],
        ['DELETE', 10],
        ['POST', 0],
        ['GET', 0],
      ] as const) {
        const seen = await askEcho({ method, ...(size === 0 ? {} : { body: Buffer.alloc(size, 'x') }) })
        expect([seen.method, seen.bytes]).toEqual([method, size])
        peers.add(seen.peer)
      }
      await expect.poll(() => bytesIn() - before, { timeout: 15_000 }).toBe(3_000_011)
      // GET goes the byte path over HTTP/1.1.
      expect(peers.size).toBe(protocol === 'h2' ? 1 : 2)
    })

    test('large answers arrive whole, with and without a length', async () => {
      const large = Buffer.alloc(8 * 1024 * 1024, 'answer ')
      const { url } = await use(
        startHttp((incoming, response) => {
          if (incoming.url === '/length') response.setHeader('content-length', large.length)
          response.end(large)
        }),
      )
      await publish(url)
      for (const path of ['/length', '/chunked']) expect((await ask({ path })).body.equals(large)).toBe(true)
    })

    test('HEAD, 204 and 304 have no body', async () => {
      const { url } = await use(
        startHttp((incoming, response) => {
          response.writeHead(
            Number(incoming.url?.slice(1) ?? 200),
            incoming.method === 'HEAD' ? { 'content-length': 77 } : {},
          )
          response.end()
        }),
      )
      await publish(url)
      for (const [method, path, status] of [
        ['HEAD', '/200', 200],
        ['GET', '/204', 204],
        ['GET', '/304', 304],
      ] as const) {
        const answer = await ask({ method, path })
        expect([answer.status, answer.body.length]).toEqual([status, 0])
      }
      expect((await ask({ method: 'HEAD', path: '/200' })).headers['content-length']).toBe('77')
    })

    test.each<[string, (socket: net.Socket) => void]>([
      ['closes at once', (socket) => socket.end()],
      ['resets', (socket) => socket.resetAndDestroy()],
      ['is no HTTP', (socket) => socket.end('SSH-2.0-OpenSSH\r\n')],
      [
        'gives two lengths',
        (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'),
      ],
      [
        'gives length and chunks',
        (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'),
      ],
      [
        'codes its answer',
        (socket) => socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\n\r\n'),
      ],
      ['has an endless head', (socket) => socket.end(`HTTP/1.1 200 OK\r\nX: ${'y'.repeat(100_000)}\r\n\r\n`)],
      [
        'switches protocols unasked',
        (socket) => socket.end('HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'),
      ],
    ])('an upstream that %s is 502', async (_, answer) => {
      const { url } = await use(startRaw((socket) => answer(socket)))
      await publish(url)
      const got = await ask()
      expect(got.status).toBe(502)
      expect(got.body.toString()).not.toContain('127.0.0.1')
    })

    test.each([
      ['its length says more', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort'],
      ['its last chunk is missing', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n'],
      ['its chunks are broken', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nzz\r\n'],
    ])('an answer that breaks off (%s) never looks whole', async (_, bytes) => {
      const { url } = await use(startRaw((socket) => socket.end(bytes)))
      await publish(url)
      const got = await ask().catch(() => null)
      expect(got === null || got.status === 502).toBe(true)
    })

    test('what an upstream says behind its answer is no answer to the next request', async () => {
      const { url } = await use(
        startRaw((socket) =>
          socket.write(
            'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil',
          ),
        ),
      )
      await publish(url)
      const answers = [await ask().catch(() => null), await ask().catch(() => null), await ask().catch(() => null)]
      for (const answer of answers) expect(answer?.body.toString()).not.toBe('evil')
    })

    test('an answer before the end of the upload reaches the visitor', async () => {
      const { url } = await use(
        startRaw((socket) => socket.write('HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig')),
      )
      await publish(url)
      const answer = await ask({ method: 'POST', body: Buffer.alloc(200_000) })
      expect([answer.status, answer.body.toString()]).toEqual([413, 'big'])
    })

    test('an untrusted certificate of an upstream is 502', async () => {
      const leaf = await authority.issue(['127.0.0.1'])
      const server = https.createServer({ key: leaf.privateKeyPem, cert: leaf.chainPem }, echo)
      const { url } = await use(listen(server, 'https'))
      await publish(url)
      expect((await ask()).status).toBe(502)
    })
  })

  const get = (host = 'p.example.com') => request({ port: rig.httpsPort, host })

  test('nobody listening is 502, and so is an upstream that may not be dialled', async () => {
    let dialled = 0
    const { url } = await use(startHttp((_, response) => void response.end(`ok ${++dialled}`)))
    const { port } = new URL(url)
    const gone = await startHttp(echo)
    gone.close()
    for (const bad of [
      gone.url,
      'http://169.254.169.254/',
      'http://10.0.0.1/',
      'http://127.0.0.2:1/',
      `http://[::ffff:7f00:2]:${port}/`,
      'http://no-such-name.invalid/',
      'ftp://127.0.0.1/',
    ]) {
      await publish(bad)
      expect((await get()).status).toBe(502)
    }
    expect(dialled).toBe(0)
  })

  test('only the panel reaches loopback without being allowed, by address or name', async () => {
    await using strict = await startListenerRig({ runtime })
    const certificate = await authority.issue(['p.example.com'])
    const { url } = await use(startHttp(echo))
    const { port } = new URL(url)
    await strict.publish([strict.certificate(certificate), nameRecord('p.example.com', 'p', certificate)])
    for (const host of ['127.0.0.1', 'localhost', '2130706433'])
      for (const isPanel of [false, true]) {
        const site = { kind: 'proxy', isPanel, upstreams: [{ url: `http://${host}:${port}`, weight: 1 }] } as const
        await strict.publish([siteRecord('p', site)])
        const answer = await request({ port: strict.httpsPort, host: 'p.example.com' })
        expect([host, isPanel, answer.status]).toEqual([host, isPanel, isPanel ? 200 : 502])
      }
  })

  test('only the panel is shown that a request came through an edge', async () => {
    const { url } = await use(startHttp(echo))
    const hopSeen = async (isPanel: boolean): Promise<(string | undefined)[]> => {
      await publish(url, { isPanel })
      const headers = { 'x-nameplate-hop': 'a visitor says so', X_Nameplate_Hop: 'so too' }
      const answer = await request({ port: rig.httpsPort, host: 'p.example.com', headers })
      const { rawHeaders } = JSON.parse(answer.body.toString()) as Echo
      return rawHeaders.filter((_, at) => /^x.nameplate.hop$/i.test(rawHeaders[at - 1] ?? ''))
    }
    expect(await hopSeen(false)).toEqual([])
    expect(await hopSeen(true)).toEqual([expect.stringMatching(/^[\w-]{43}$/)])
  })

  test('two sites with the same upstream never share a connection to it', async () => {
    const { url } = await use(startHttp(echo))
    await publish(url)
    await publish(url, {}, 'q')
    const peers = { p: new Set<number>(), q: new Set<number>() }
    for (let turn = 0; turn < 6; turn += 1)
      for (const key of ['p', 'q'] as const)
        peers[key].add((JSON.parse((await get(`${key}.example.com`)).body.toString()) as Echo).peer)
    expect([peers.p.size, peers.q.size]).toEqual([1, 1])
    expect(peers.p.isDisjointFrom(peers.q)).toBe(true)
  })

  test('weights share the requests out', async () => {
    const seen = { one: 0, two: 0 }
    const one = await use(startHttp((_, response) => void response.end(String(++seen.one))))
    const two = await use(startHttp((_, response) => void response.end(String(++seen.two))))
    const never = await use(startRaw((socket) => socket.destroy()))
    await publish('', {
      upstreams: [
        { url: one.url, weight: 3 },
        { url: never.url, weight: 0 },
        { url: two.url, weight: 1 },
      ],
    })
    const session = openHttp2({ port: rig.httpsPort, host: 'p.example.com' })
    for (let turn = 0; turn < 200; turn += 1)
      expect((await requestOn(session, { ':path': '/', ':authority': 'p.example.com' })).status).toBe(200)
    session.destroy()
    expect(seen.one + seen.two).toBe(200)
    expect(seen.one).toBeGreaterThan(seen.two)
    expect(seen.two).toBeGreaterThan(0)
  })

  test('a kept connection that the upstream has closed meanwhile costs the visitor nothing', async () => {
    let connections = 0
    const server = net.createServer((socket) => {
      connections += 1
      socket.on('error', () => undefined)
      let requests = 0
      socket.on('data', () => {
        requests += 1
        if (requests === 1) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
        else socket.resetAndDestroy()
      })
    })
    const { url } = await use(listen(server, 'http'))
    await publish(url)
    for (let turn = 0; turn < 4; turn += 1) expect((await get()).status).toBe(200)
    expect(connections).toBe(4)
  })

  test('a visitor who leaves ends the request to the upstream', async () => {
    const { promise: arrived, resolve: arrive } = Promise.withResolvers<void>()
    const { promise: ended, resolve: end } = Promise.withResolvers<void>()
    const { url } = await use(
      startHttp((incoming) => {
        incoming.socket.on('close', end)
        arrive()
      }),
    )
    await publish(url)
    const socket = await openRaw({ port: rig.httpsPort, serverName: 'p.example.com' })
    socket.write('GET / HTTP/1.1\r\nHost: p.example.com\r\n\r\n')
    await arrived
    socket.destroy()
    await ended
  })

  test('an upload whose visitor leaves never looks whole to the upstream', async () => {
    const { promise: outcome, resolve } = Promise.withResolvers<string>()
    const { url } = await use(
      startHttp((incoming) => {
        incoming.on('end', () => resolve('whole'))
        incoming.on('error', () => resolve('broken off'))
        incoming.resume()
      }),
    )
    await publish(url)
    const socket = await openRaw({ port: rig.httpsPort, serverName: 'p.example.com' })
    socket.write('POST / HTTP/1.1\r\nHost: p.example.com\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n')
    await sleep(200)
    socket.destroy()
    expect(await outcome).toBe('broken off')
  })

  test('an HTTP/2 upload with a false length is no request for the upstream', async () => {
    const bodies: string[] = []
    const { url } = await use(
      startHttp((incoming, response) => {
        let text = ''
        incoming.on('data', (piece: Buffer) => {
          text += piece
        })
        incoming.on('end', () => {
          bodies.push(text)
          response.end('ok')
        })
        incoming.on('error', () => undefined)
      }),
    )
    await publish(url)
    for (const length of ['3', '100', '-1', '5x']) {
      const session = openHttp2({ port: rig.httpsPort, host: 'p.example.com' })
      const headers = { ':method': 'POST', ':path': '/', ':authority': 'p.example.com', 'content-length': length }
      await requestOn(session, headers, Buffer.from('12345')).catch(() => null)
      session.destroy()
    }
    expect(bodies).toEqual([])
  })

  test('the visitor is told to continue only when the upstream takes the body', async () => {
    const { url } = await use(startHttp(echo))
    await publish(url)
    const socket = await openRaw({ port: rig.httpsPort, serverName: 'p.example.com' })
    const answer = readAll(socket, (text) => text.includes('"bytes":5'))
    socket.write('POST / HTTP/1.1\r\nHost: p.example.com\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n')
    await readAll(socket, (text) => text.includes('100 Continue'))
    socket.write('hello')
    expect(await answer).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK/)
    socket.destroy()
    await publish('http://10.0.0.1/')
    const refused = await exchangeRaw(
      { port: rig.httpsPort, serverName: 'p.example.com' },
      'POST / HTTP/1.1\r\nHost: p.example.com\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n',
      (text) => text.includes('</html>'),
    )
    expect(refused).toMatch(/^HTTP\/1\.1 502 /)
  })

  test('a slow reader holds the upstream back', async () => {
    let written = 0
    const { url } = await use(
      startHttp((_, response) => {
        const piece = Buffer.alloc(256 * 1024)
        const more = (): void => {
          while (!response.destroyed) {
            written += piece.length
            if (!response.write(piece)) return void response.once('drain', more)
          }
        }
        more()
      }),
    )
    await publish(url)
    const socket = await openRaw({ port: rig.httpsPort, serverName: 'p.example.com' })
    socket.write('GET / HTTP/1.1\r\nHost: p.example.com\r\n\r\n')
    socket.pause()
    await sleep(1_500)
    const early = written
    await sleep(1_500)
    expect(early).toBeGreaterThan(0)
    expect(written).toBe(early)
    socket.destroy()
  })

  test('an idle connection to an upstream is closed', async () => {
    const { promise: closed, resolve } = Promise.withResolvers<void>()
    const server = createServer({ keepAliveTimeout: 300_000 }, (incoming, response) => {
      incoming.socket.on('close', resolve)
      response.end('ok')
    })
    const { url } = await use(listen(server, 'http'))
    await publish(url)
    expect((await get()).status).toBe(200)
    await closed
  })
})
