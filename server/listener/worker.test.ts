import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTestAuthority, type TestAuthority, type TestCertificate } from '../test/certificates.ts'
import {
  addressRecord,
  type ListenerRig,
  nameRecord,
  runtimes,
  siteRecord,
  startListenerRig,
} from '../test/listener-rig.ts'
import { sClient } from '../test/s-client.ts'
import { visit } from '../test/visit.ts'

const run = promisify(execFile)
const UNRECOGNIZED_NAME = 112

let authority: TestAuthority
let shop: TestCertificate
let wild: TestCertificate
let plain: TestCertificate
let both: { ecdsa: TestCertificate; rsa: TestCertificate }

beforeAll(async () => {
  authority = await createTestAuthority()
  shop = await authority.issue(['shop.example', 'www.shop.example'])
  wild = await authority.issue(['*.wild.example'])
  plain = await authority.issue(['plain.example', '127.0.0.2'])
  both = { ecdsa: await authority.issue(['both.example']), rsa: await authority.issue(['both.example'], { rsa: true }) }
})

/** Sends bytes as they are and gives back all that comes until the end. */
async function sendRaw(port: number, parts: readonly Buffer[], address = '127.0.0.1'): Promise<Buffer> {
  const socket = net.connect({ port, host: address, noDelay: true })
  const answer: Buffer[] = []
  socket.on('data', (chunk: Buffer) => answer.push(chunk))
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  for (const part of parts) {
    socket.write(part)
    await new Promise((resolve) => setImmediate(resolve))
  }
  if (!socket.closed) await once(socket, 'close')
  return Buffer.concat(answer)
}

describe.each(runtimes)('a worker on %s', (runtime) => {
  let rig: ListenerRig

  beforeAll(async () => {
    rig = await startListenerRig({
      runtime,
      records: ({ certificate, release }) => [
        ...[shop, wild, plain, both.ecdsa, both.rsa].map(certificate),
        ...['shop', 'wild', 'plain', 'both'].map((id) => siteRecord(id, { manifest: release({ 'index.html': id }) })),
        siteRecord('off', { state: 'suspended' }),
        nameRecord('shop.example', 'shop', shop),
        nameRecord('www.shop.example', 'shop', shop),
        nameRecord('*.wild.example', 'wild', wild),
        nameRecord('soon.wild.example', 'shop'),
        nameRecord('plain.example', 'plain', plain),
        nameRecord('off.example', 'off', plain),
        nameRecord('gone.example', 'gone', plain),
        nameRecord('both.example', 'both', both.ecdsa, both.rsa),
        { kind: 'name', key: 'lost.example', payload: { siteId: 'shop', certificates: ['ab'.repeat(32)] } },
        addressRecord('127.0.0.1', null),
        addressRecord('127.0.0.2', 'plain', plain),
      ],
    })
  })
  afterAll(() => rig.close())

  const get = (serverName: string | null, more: Partial<Parameters<typeof visit>[0]> = {}) =>
    visit({ port: rig.httpsPort, serverName, ca: authority.caPem, ...more })

  describe.each(['http/1.1', 'h2'] as const)('over %s', (protocol) => {
    test('each name gets its own certificate and site, by TLS 1.3', async () => {
      const expected = { status: 200, tlsVersion: 'TLSv1.3' }
      expect(await get('shop.example', { protocol })).toMatchObject({
        ...expected,
        body: 'shop',
        fingerprint: shop.fingerprint,
      })
      expect(await get('a.wild.example', { protocol })).toMatchObject({
        ...expected,
        body: 'wild',
        fingerprint: wild.fingerprint,
      })
      expect(await get('plain.example', { protocol })).toMatchObject({
        ...expected,
        body: 'plain',
        fingerprint: plain.fingerprint,
      })
    })

    test('a client without a name gets the site of the address that it dialled', async () => {
      const got = await get(null, { protocol, address: '127.0.0.2' })
      expect(got).toMatchObject({ status: 200, body: 'plain', fingerprint: plain.fingerprint })
    })
  })

  test('with a name, each site is reachable through the dedicated address too', async () => {
    const got = await get('shop.example', { address: '127.0.0.2' })
    expect(got).toMatchObject({ body: 'shop', fingerprint: shop.fingerprint })
  })

  test('curl reaches the dedicated address and verifies its certificate by address', async () => {
    const { stdout } = await run('curl', ['-ksS', '-w', ' %{http_version}', `https://127.0.0.2:${rig.httpsPort}/`])
    expect(stdout).toBe('plain 2')
  })

  test.each(['nobody.example', 'a.b.wild.example', 'soon.wild.example', 'lost.example'])(
    '%s is refused without anybody\u2019s certificate',
    async (name) => {
      for (const address of ['127.0.0.1', '127.0.0.2']) {
        const seen = await sClient(rig.httpsPort, ['-connect', `${address}:${rig.httpsPort}`, '-servername', name])
        expect(seen).toMatchObject({ alert: UNRECOGNIZED_NAME, subject: null, session: null })
      }
    },
  )

  test('no name on a shared and on an unknown address is refused in the same way', async () => {
    for (const address of ['127.0.0.1', '127.0.0.9']) {
      const seen = await sClient(rig.httpsPort, ['-connect', `${address}:${rig.httpsPort}`, '-noservername'])
      expect(seen).toMatchObject({ alert: UNRECOGNIZED_NAME, subject: null, session: null })
    }
  })

  test('no name on the dedicated address, as openssl asks', async () => {
    const seen = await sClient(rig.httpsPort, ['-connect', `127.0.0.2:${rig.httpsPort}`, '-noservername'], '127.0.0.2')
    expect(seen).toMatchObject({ session: 'New', subject: 'CN = plain.example' })
    expect(seen.output).toContain('plain')
  })

  test('a suspended site and one whose record is missing still speak TLS', async () => {
    expect(await get('off.example', { ca: undefined as never })).toMatchObject({
      status: 503,
      fingerprint: plain.fingerprint,
    })
    expect((await get('gone.example', { ca: undefined as never })).fingerprint).toBe(plain.fingerprint)
  })

  test('a site with two kinds of key serves what the client can verify', async () => {
    const ecdsa = await sClient(rig.httpsPort, [
      '-servername',
      'both.example',
      '-tls1_2',
      '-cipher',
      'ECDHE-ECDSA-AES128-GCM-SHA256',
    ])
    const rsa = await sClient(rig.httpsPort, [
      '-servername',
      'both.example',
      '-tls1_2',
      '-cipher',
      'ECDHE-RSA-AES128-GCM-SHA256',
    ])
    expect([ecdsa.session, rsa.session]).toEqual(['New', 'New'])
    expect(rsa.output).toMatch(/Peer signature type: RSA|rsaEncryption/)
    expect(ecdsa.output).toMatch(/Peer signature type: ECDSA/)
  })

  test('TLS 1.1 and ALPN that we do not speak are refused by the protocol\u2019s own alerts', async () => {
    const name = ['-servername', 'shop.example']
    expect((await sClient(rig.httpsPort, [...name, '-tls1_1', '-cipher', 'DEFAULT@SECLEVEL=0'])).alert).toBe(70)
    expect((await sClient(rig.httpsPort, [...name, '-alpn', 'ftp'])).alert).toBe(120)
  })

  test('the server\u2019s order of protocols counts; without ALPN it is HTTP/1.1', async () => {
    const ask = async (ALPNProtocols: string[]) => {
      const socket = tls.connect({
        port: rig.httpsPort,
        host: '127.0.0.1',
        servername: 'shop.example',
        ca: authority.caPem,
        ALPNProtocols,
      })
      await once(socket, 'secureConnect')
      socket.destroy()
      return socket.alpnProtocol
    }
    expect(await ask(['http/1.1', 'h2'])).toBe('h2')
    expect(await ask(['http/1.1'])).toBe('http/1.1')
    const seen = await sClient(rig.httpsPort, ['-servername', 'shop.example'], 'shop.example')
    expect(seen.output).toMatch(/HTTP\/1\.1 200/)
  })

  describe('a change', () => {
    test('of the certificate is used by the next handshake, and open connections live on', async () => {
      const next = await authority.issue(['swap.example'])
      const first = await authority.issue(['swap.example'])
      await rig.publish([rig.certificate(first), nameRecord('swap.example', 'shop', first)])
      expect((await get('swap.example')).fingerprint).toBe(first.fingerprint)
      const open = tls.connect({
        port: rig.httpsPort,
        host: '127.0.0.1',
        servername: 'swap.example',
        ca: authority.caPem,
      })
      await once(open, 'secureConnect')

      await rig.publish([rig.certificate(next), nameRecord('swap.example', 'shop', next)])
      expect((await get('swap.example')).fingerprint).toBe(next.fingerprint)
      open.write('GET / HTTP/1.1\r\nHost: swap.example\r\nConnection: close\r\n\r\n')
      const [answer] = (await once(open, 'data')) as [Buffer]
      expect(answer.toString()).toContain('HTTP/1.1 200')
      open.destroy()
    })

    test('a name that was refused is served, and refused again, without a restart', async () => {
      const added = await authority.issue(['added.example'])
      const name = nameRecord('added.example', 'shop', added)
      await expect(get('added.example')).rejects.toThrow()
      // The name comes before its certificate: still refused, and not remembered as such.
      await rig.publish([name])
      await expect(get('added.example')).rejects.toThrow()
      await rig.publish([rig.certificate(added)])
      expect((await get('added.example')).body).toBe('shop')
      await rig.publish([{ kind: 'name', key: 'added.example', payload: null }])
      await expect(get('added.example')).rejects.toThrow()
    })

    test('a certificate whose key does not open is passed over', async () => {
      const good = await authority.issue(['half.example'])
      const broken = await authority.issue(['half.example'])
      const record = rig.certificate(broken)
      const sealed = { ...record, payload: { ...record.payload, sealedKey: randomBytes(120).toString('base64') } }
      await rig.publish([
        sealed as typeof record,
        rig.certificate(good),
        nameRecord('half.example', 'shop', broken, good),
      ])
      expect((await get('half.example')).fingerprint).toBe(good.fingerprint)
    })
  })

  describe('clear-text HTTP on the TLS port', () => {
    const ask = async (text: string) => (await sendRaw(rig.httpsPort, [Buffer.from(text)])).toString()

    test('is sent to HTTPS when the host is served', async () => {
      const answer = await ask('GET /a?b=c HTTP/1.1\r\nHost: Shop.example:80\r\n\r\n')
      expect(answer).toMatch(/^HTTP\/1\.1 308 /)
      expect(answer).toContain(`\r\nLocation: https://shop.example:${rig.httpsPort}/a?b=c\r\n`)
    })

    test.each([
      'GET / HTTP/1.1\r\nHost: nobody.example\r\n\r\n',
      'GET / HTTP/1.1\r\nHost: soon.wild.example\r\n\r\n',
      'GET / HTTP/1.1\r\n\r\n',
      'GET / HTTP/1.1\r\nHost: shop.example\r\nHost: shop.example\r\n\r\n',
      'GET http://evil.example/ HTTP/1.1\r\nHost: shop.example\r\n\r\n',
      'GET /\u00e9 HTTP/1.1\r\nHost: shop.example\r\n\r\n',
      `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: shop.example\r\n\r\n`,
    ])('is a bad request else: %j', async (text) => {
      const answer = await ask(text)
      expect(answer).toMatch(/^HTTP\/1\.1 400 /)
      expect(answer).not.toContain('Location')
    })
  })

  describe('hostile bytes', () => {
    test('a hello in single bytes is served', async () => {
      const through = net.createServer((client) => {
        const server = net.connect({ port: rig.httpsPort, host: '127.0.0.1', noDelay: true })
        server.pipe(client)
        client.on('error', () => server.destroy())
        server.on('error', () => client.destroy())
        client.on('data', (chunk: Buffer) => {
          for (const byte of chunk) server.write(Buffer.of(byte))
        })
        client.on('end', () => server.end())
      })
      through.listen(0, '127.0.0.1')
      await once(through, 'listening')
      const { port } = through.address() as net.AddressInfo
      expect((await get('shop.example', { port })).body).toBe('shop')
      through.close()
    })

    test('a hello or a handshake that does not come to its end is cut off, however it trickles', async () => {
      const half = Buffer.of(22, 3, 1, 2, 0, 1, 0, 1, 0xfc)
      const slow = net.connect({ port: rig.httpsPort, host: '127.0.0.1' })
      slow.on('error', () => undefined)
      await once(slow, 'connect')
      slow.write(half)
      const timer = setInterval(() => slow.write(Buffer.of(0)), 200)
      const halfway = net.createServer((client) => {
        const server = net.connect({ port: rig.httpsPort, host: '127.0.0.1' })
        server.pipe(client)
        client.on('error', () => undefined)
        server.on('error', () => undefined)
        // The hello passes, and nothing after it.
        client.once('data', (hello: Buffer) => server.write(hello))
      })
      halfway.listen(0, '127.0.0.1')
      await once(halfway, 'listening')
      const { port } = halfway.address() as net.AddressInfo
      const client = tls.connect({ port, host: '127.0.0.1', servername: 'shop.example', ca: authority.caPem })
      client.on('error', () => undefined)
      client.resume()
      await Promise.all([sendRaw(rig.httpsPort, [half]), once(slow, 'close'), once(client, 'close')])
      clearInterval(timer)
      halfway.close()
      expect([slow.closed, client.closed]).toEqual([true, true])
    })

    test('nothing that is sent ends the worker, and no connection is left', async () => {
      const before = [...rig.pids()]
      const refusedBefore = rig.pool.status().refused
      const junk = Array.from({ length: 150 }, (_, i) => {
        const bytes = randomBytes(1 + i * 4)
        return i % 3 === 0 ? bytes : Buffer.concat([Buffer.of(22, 3, 1, 0, i, 1, 0, 0, i), bytes])
      })
      const resets = Array.from({ length: 100 }, async (_, i) => {
        const socket = net.connect({ port: rig.httpsPort, host: '127.0.0.1' })
        socket.on('error', () => undefined)
        await once(socket, 'connect')
        socket.write(Buffer.concat([Buffer.of(22, 3, 1, 2, 0, 1, 0, 1, 0xfc), Buffer.alloc(i)]), () =>
          socket.resetAndDestroy(),
        )
        await once(socket, 'close')
      })
      await Promise.all([...junk.map((bytes) => sendRaw(rig.httpsPort, [bytes])), ...resets])
      expect((await get('shop.example')).body).toBe('shop')
      expect(rig.pids()).toEqual(before)
      // Counters come once a second: only a report from after the storm counts.
      const left = (): number | null => {
        const { refused, connections } = rig.pool.status()
        return refused > refusedBefore + junk.length / 2 ? connections : null
      }
      await expect.poll(left, { timeout: 30_000, interval: 250 }).toBe(0)
      expect(rig.pool.status().handshakes).toBeGreaterThan(0)
    })
  })
})
