import { once } from 'node:events'
import { createServer } from 'node:http'
import http2 from 'node:http2'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import tls from 'node:tls'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTestAuthority } from '../../test/certificates.ts'
import { exchangeRaw, openHttp2, openRaw, readAll, request, requestOn } from '../../test/http-requests.ts'
import { type ListenerRig, nameRecord, runtimes, siteRecord, startListenerRig } from '../../test/listener-rig.ts'

const host = 'Host: a.example.com\r\n'

describe.each(runtimes)('abuse on %s', (runtime) => {
  let rig: ListenerRig
  let reached = 0
  const upstream = createServer((_incoming, response) => {
    reached += 1
    response.end('reached')
  })
  beforeAll(async () => {
    const authority = await createTestAuthority()
    const certificate = await authority.issue(['a.example.com', 'f.example.com'])
    await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`
    rig = await startListenerRig({ runtime, outboundAllow: ['127.0.0.1/32'] })
    await rig.publish([
      rig.certificate(certificate),
      nameRecord('a.example.com', 'a', certificate),
      nameRecord('f.example.com', 'f', certificate),
      siteRecord('a', { kind: 'proxy', upstreams: [{ url, weight: 1 }] }),
      siteRecord('f', { manifest: rig.release({ 'index.html': 'F' }) }),
    ])
  })
  afterAll(async () => {
    upstream.close()
    await rig.close()
  })
  const target = () => ({ port: rig.httpsPort, serverName: 'a.example.com' })
  const stillServes = async (): Promise<void> => {
    expect((await request({ port: rig.httpsPort, host: 'f.example.com' })).body.toString()).toBe('F')
    expect((await request({ protocol: 'h2', port: rig.httpsPort, host: 'f.example.com' })).status).toBe(200)
  }

  test('a head that is too large is 431', async () => {
    const ask = (fields: string): Promise<string> =>
      exchangeRaw(target(), `GET / HTTP/1.1\r\n${host}${fields}\r\n`, (text) => text.includes('\r\n\r\n'))
    expect(await ask(`X: ${'y'.repeat(20_000)}\r\n`)).toMatch(/^HTTP\/1\.1 431 /)
    expect(await ask('X: y\r\n'.repeat(200))).toMatch(/^HTTP\/1\.1 431 /)
    expect(await ask(`X: ${'y'.repeat(8_000)}\r\n`)).toMatch(/^HTTP\/1\.1 200 /)
  })

  test('a body that is announced too large is 413, before any of it is read', async () => {
    const before = reached
    const answer = await exchangeRaw(
      target(),
      `POST / HTTP/1.1\r\n${host}Content-Length: 5000000000\r\nExpect: 100-continue\r\n\r\n`,
      (text) => text.includes('</html>'),
    )
    expect(answer).toMatch(/^HTTP\/1\.1 413 /)
    expect(answer).toMatch(/\r\nconnection: close\r\n/i)
    expect(reached).toBe(before)
  })

  test('pipelined requests are answered in order, endless ones are cut off', async () => {
    const one = `GET / HTTP/1.1\r\n${host}\r\n`
    const answer = await exchangeRaw(target(), one.repeat(3), (text) => text.split('reached').length === 4)
    expect(answer.match(/HTTP\/1\.1 200/g)).toHaveLength(3)
    await exchangeRaw(target(), one.repeat(5_000))
    await stillServes()
  })

  test('random bytes end the connection and nothing else', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 300 }), async (bytes) => {
        const socket = await openRaw(target())
        const answer = readAll(socket)
        socket.end(Buffer.from(bytes))
        await answer
      }),
      { numRuns: 40 },
    )
    await stillServes()
  })

  test('HTTP/2: more streams than allowed are refused, those that are allowed are answered', async () => {
    const session = openHttp2({ port: rig.httpsPort, host: 'f.example.com' })
    await new Promise((resolve) => session.once('remoteSettings', resolve))
    expect(session.remoteSettings.maxConcurrentStreams).toBe(128)
    expect(session.remoteSettings.maxHeaderListSize).toBe(16_384)
    const answers = await Promise.all(
      Array.from({ length: 300 }, () => requestOn(session, { ':path': '/', ':authority': 'f.example.com' })),
    )
    expect(answers.every(({ status }) => status === 200)).toBe(true)
    session.destroy()
  })

  test('HTTP/2: a head that is too large is refused', async () => {
    const ask = async (headers: Record<string, string>): Promise<number> => {
      const session = openHttp2({ port: rig.httpsPort, host: 'a.example.com' })
      const refused = new Promise<number>((resolve) => session.once('close', () => resolve(0)))
      const answer = requestOn(session, { ':path': '/', ':authority': 'a.example.com', ...headers })
      const status = await Promise.race([
        answer.then(
          ({ status }) => status,
          () => 0,
        ),
        refused,
      ])
      session.destroy()
      return status
    }
    const many = Object.fromEntries(Array.from({ length: 200 }, (_, at) => [`x-${at}`, 'y']))
    expect([0, 431]).toContain(await ask({ x: 'y'.repeat(20_000) }))
    expect([0, 431]).toContain(await ask(many))
    expect(await ask({ x: 'y'.repeat(8_000) })).toBe(200)
    await stillServes()
  })

  test('HTTP/2: rapid resets end the connection', async () => {
    const socket = tls.connect({
      host: '127.0.0.1',
      port: rig.httpsPort,
      servername: 'f.example.com',
      ALPNProtocols: ['h2'],
      rejectUnauthorized: false,
    })
    socket.on('error', () => undefined)
    const session = http2.connect('https://f.example.com', { createConnection: () => socket })
    session.on('error', () => undefined)
    // The client's own 'close' does not always come after a GOAWAY with thousands of cancelled streams.
    const ended = Promise.race(
      [once(session, 'goaway'), once(session, 'close'), once(socket, 'close')].map((end) => end.catch(() => undefined)),
    )
    await new Promise((resolve) => session.once('remoteSettings', resolve))
    let sent = 0
    while (!session.closed && !session.destroyed && sent < 200_000) {
      for (let at = 0; at < 100 && !session.destroyed; at += 1, sent += 1) {
        const stream = session.request({ ':path': '/', ':authority': 'f.example.com' })
        stream.on('error', () => undefined)
        stream.close(http2.constants.NGHTTP2_CANCEL)
      }
      await sleep(1)
    }
    await ended
    socket.destroy()
    expect(sent).toBeLessThan(200_000)
    await stillServes()
  })
})
