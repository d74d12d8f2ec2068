import { once } from 'node:events'
import { createServer } from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { trafficFields } from '../../contract/traffic.ts'
import { createTestAuthority } from '../../test/certificates.ts'
import { exchangeRaw, openRaw, readAll } from '../../test/http-requests.ts'
import { type ListenerRig, nameRecord, runtimes, siteRecord, startListenerRig } from '../../test/listener-rig.ts'

const ask = (host: string, upgrade = 'websocket'): string =>
  `GET /chat?room=1 HTTP/1.1\r\nHost: ${host}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: ${upgrade}\r\n` +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n'

/** Switches to a protocol that says back what it hears; the first thing it says is the request's head. */
function createEchoServer(): net.Server {
  return net.createServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', (head) => {
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: abc\r\n\r\n',
      )
      socket.write(`<${head.toString('latin1')}>`)
      socket.pipe(socket)
    })
  })
}

/** Switches protocols when it is told to; to what does not ask for that it answers at once. */
function createWaitingServer(): { server: net.Server; asked: () => Promise<() => void> } {
  const asked: ((answer: () => void) => void)[] = []
  const server = net.createServer((socket) => {
    socket.on('error', () => undefined)
    socket.on('data', function onHead(head) {
      if (!head.includes('Upgrade')) return void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst')
      socket.off('data', onHead).pause()
      asked.shift()?.(() => {
        socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n')
        socket.pipe(socket)
      })
    })
  })
  return { server, asked: () => new Promise((resolve) => void asked.push(resolve)) }
}

async function listen(server: net.Server): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

describe.each(runtimes)('WebSocket on %s', (runtime) => {
  let rig: ListenerRig
  const servers: net.Server[] = []
  const hosts = ['ws.example.com', 'refuses.example.com', 'files.example.com', 'other.example.com', 'waits.example.com']
  const waiting = createWaitingServer()
  beforeAll(async () => {
    const authority = await createTestAuthority()
    const certificate = await authority.issue(hosts)
    const refusing = createServer(
      (incoming, response) => void response.writeHead(403).end(`no ${incoming.headers.upgrade}`),
    )
    servers.push(createEchoServer(), refusing, waiting.server)
    const [echo = '', refuses = '', waits = ''] = await Promise.all(servers.map(listen))
    rig = await startListenerRig({ runtime, outboundAllow: ['127.0.0.1/32'] })
    const proxy = (url: string) => ({ kind: 'proxy', upstreams: [{ url, weight: 1 }] }) as const
    await rig.publish([
      rig.certificate(certificate),
      ...hosts.map((host) => nameRecord(host, host, certificate)),
      siteRecord('ws.example.com', proxy(echo)),
      siteRecord('refuses.example.com', proxy(refuses)),
      siteRecord('files.example.com', { manifest: rig.release({ 'index.html': 'files', chat: 'file' }) }),
      siteRecord('other.example.com', proxy(echo)),
      siteRecord('waits.example.com', proxy(waits)),
    ])
  })
  afterAll(async () => {
    for (const server of servers) server.close()
    await rig.close()
  })
  const target = (serverName: string) => ({ port: rig.httpsPort, serverName })

  test('bytes pass both ways, those that came with the heads included', async () => {
    const socket = await openRaw(target('ws.example.com'))
    const answer = readAll(socket, (text) => text.includes('last'))
    socket.write(`${ask('ws.example.com')}early`)
    const big = 'x'.repeat(1_000_000)
    await readAll(socket, (text) => text.includes('early'))
    socket.write(`${big}last`)
    const text = await answer
    expect(text).toMatch(
      /^HTTP\/1\.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: abc\r\n\r\n</,
    )
    expect(text).toContain('GET /chat?room=1 HTTP/1.1\r\nHost: ws.example.com\r\n')
    expect(text).toContain('X-Forwarded-For: 127.0.0.1\r\n')
    expect(text).toMatch(/Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n/)
    expect(text).not.toContain('6.6.6.6')
    expect(text.slice(text.indexOf('>') + 1)).toBe(`early${big}last`)
    socket.destroy()
    const bytesIn = () => rig.observation.totals().counts[trafficFields.indexOf('bytesIn')]
    await expect.poll(bytesIn, { timeout: 15_000 }).toBe(`early${big}last`.length)
  })

  test('it is taken as a later request of a connection as well', async () => {
    const socket = await openRaw(target('ws.example.com'))
    // It switches protocols for everybody: unasked that is no answer.
    socket.write('GET / HTTP/1.1\r\nHost: ws.example.com\r\n\r\n')
    await readAll(socket, (text) => text.includes('</html>'))
    socket.write(`${ask('ws.example.com')}later`)
    expect(await readAll(socket, (text) => text.includes('later'))).toContain('101 Switching')
    socket.destroy()
  })

  test.each([
    ['first', ''],
    ['second, sent ahead', 'GET / HTTP/1.1\r\nHost: waits.example.com\r\n\r\n'],
  ])('as the %s request: what comes before the switch waits for it', async (_, before) => {
    const socket = await openRaw(target('waits.example.com'))
    const asked = waiting.asked()
    socket.write(`${before}${ask('waits.example.com')}one,`)
    const answer = await asked
    socket.write('two,')
    await sleep(200)
    socket.write('three')
    await sleep(200)
    answer()
    expect(await readAll(socket, (text) => text.includes('three'))).toMatch(/\r\n\r\none,two,three$/)
    socket.destroy()
  })

  test('when one side leaves the other is closed', async () => {
    const [server] = servers as [net.Server]
    const upstreamSide = once(server, 'connection') as Promise<[net.Socket]>
    const socket = await openRaw(target('ws.example.com'))
    socket.write(`${ask('ws.example.com')}here`)
    const [upstream] = await upstreamSide
    await readAll(socket, (text) => text.includes('here'))
    const visitorGone = once(upstream, 'close')
    socket.destroy()
    await visitorGone

    const nextUpstream = once(server, 'connection') as Promise<[net.Socket]>
    const next = await openRaw(target('ws.example.com'))
    next.write(`${ask('ws.example.com')}here`)
    const [leaving] = await nextUpstream
    await readAll(next, (text) => text.includes('here'))
    const closed = readAll(next)
    leaving.destroy()
    await closed
  })

  test('a refusal is passed on', async () => {
    const answer = await exchangeRaw(target('refuses.example.com'), ask('refuses.example.com'))
    expect(answer).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n/)
    expect(answer).toContain('no websocket')
  })

  test('other upgrades are not passed on', async () => {
    const answer = await exchangeRaw(target('refuses.example.com'), ask('refuses.example.com', 'h2c'))
    expect(answer).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n/)
    expect(answer).toContain('no undefined')
  })

  test('the rules for hosts hold, and a site of files answers as ever', async () => {
    const isWhole = (text: string): boolean => /<\/html>|file$/.test(text)
    expect(await exchangeRaw(target('ws.example.com'), ask('other.example.com'), isWhole)).toMatch(/^HTTP\/1\.1 421 /)
    expect(await exchangeRaw(target('ws.example.com'), ask('nobody.example.com'), isWhole)).toMatch(/^HTTP\/1\.1 404 /)
    expect(await exchangeRaw(target('files.example.com'), ask('files.example.com'), isWhole)).toMatch(
      /^HTTP\/1\.1 200 /,
    )
  })
})
