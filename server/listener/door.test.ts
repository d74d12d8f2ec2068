import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { defaultListenerLimits, type ListenerLimits } from '../contract/listener-limits.ts'
import { tlsAlpn01Key } from '../contract/records.ts'
import { tlsAlpn01Record } from '../test/acme-challenge.ts'
import { createTestAuthority, type TestAuthority, type TestCertificate } from '../test/certificates.ts'
import {
  addressRecord,
  type ListenerRig,
  nameRecord,
  type RigRecord,
  runtimes,
  siteRecord,
  startListenerRig,
} from '../test/listener-rig.ts'
import { proxyV2 } from '../test/proxy-header.ts'
import { sClient } from '../test/s-client.ts'
import { visit } from '../test/visit.ts'

const NO_APPLICATION_PROTOCOL = 120
/** Connections to and from it are made through a load balancer, as far as the worker knows. */
const BALANCER = '127.0.0.8'

let authority: TestAuthority
let one: TestCertificate
let two: TestCertificate

beforeAll(async () => {
  authority = await createTestAuthority()
  one = await authority.issue(['one.example', 'sibling.example'])
  two = await authority.issue(['two.example'])
})

function limitsRecord(limits: Partial<ListenerLimits>): RigRecord {
  return { kind: 'setting', key: 'listenerLimits', payload: { value: { ...defaultListenerLimits, ...limits } } }
}

describe.each(runtimes)('the door of a worker on %s', (runtime) => {
  let rig: ListenerRig
  beforeAll(async () => {
    rig = await startListenerRig({
      runtime,
      proxyProtocolFrom: [BALANCER],
      records: ({ certificate, release }) => [
        ...[one, two].map(certificate),
        siteRecord('one', { tenantId: 'a', manifest: release({ 'index.html': 'one' }) }),
        siteRecord('sibling', { tenantId: 'a', manifest: release({ 'index.html': 'sibling' }) }),
        siteRecord('two', { tenantId: 'b', manifest: release({ 'index.html': 'two' }) }),
        nameRecord('one.example', 'one', one),
        nameRecord('sibling.example', 'sibling', one),
        nameRecord('two.example', 'two', two),
        addressRecord('198.51.100.1', 'two', two),
      ],
    })
  })
  afterAll(() => rig.close())

  const get = (serverName: string) => visit({ port: rig.httpsPort, serverName, ca: authority.caPem })

  /** A socket from the load balancer's address that has said `header`. */
  const behindBalancer = async (header: Buffer, port = rig.httpsPort): Promise<net.Socket> => {
    const socket = net.connect({ port, host: '127.0.0.1', localAddress: BALANCER, noDelay: true })
    socket.on('error', () => undefined)
    await once(socket, 'connect')
    if (header.length > 0) socket.write(header)
    return socket
  }
  /** What a client behind the load balancer gets; rejects when it is refused. */
  const visitBehind = async (header: Buffer, servername: string): Promise<string> => {
    const socket = await behindBalancer(header)
    const secure = tls.connect({ socket, servername, rejectUnauthorized: false })
    // A socket that is closed under a client's TLS is not always told to it.
    socket.once('close', () => secure.destroy(new Error('closed')))
    await once(secure, 'secureConnect')
    const { CN } = secure.getPeerCertificate().subject
    secure.destroy()
    return String(CN)
  }

  describe('tls-alpn-01', () => {
    const alpn = (list: string, name: string) => sClient(rig.httpsPort, ['-servername', name, '-alpn', list])

    test('reaches the certificate of the challenge, of a name that is not served too, and the connection ends', async () => {
      for (const name of ['one.example', 'soon.example']) {
        const record = await tlsAlpn01Record(rig.edge.identity.keyPair.publicKey, name)
        await rig.publish([{ kind: 'challenge', key: tlsAlpn01Key(name), payload: record }])
        const seen = await alpn('acme-tls/1', name.toUpperCase())
        expect(seen).toMatchObject({ session: 'New', subject: 'CN = challenge' })
        expect(seen.output).toMatch(/ALPN protocol: acme-tls\/1/)
        expect(seen.output).not.toContain('HTTP/1.1')
      }
    })

    test('is refused where there is no challenge, any more or at all, or one that does not open', async () => {
      await rig.publish([{ kind: 'challenge', key: tlsAlpn01Key('one.example'), payload: null }])
      const foreign = await tlsAlpn01Record(rig.edge.identity.keyPair.publicKey, 'one.example')
      await rig.publish([
        { kind: 'challenge', key: tlsAlpn01Key('two.example'), payload: { ...foreign, name: 'two.example' } },
      ])
      for (const name of ['one.example', 'two.example', 'nobody.example']) {
        expect(await alpn('acme-tls/1', name)).toMatchObject({ alert: NO_APPLICATION_PROTOCOL, subject: null })
      }
    })

    test('is for a hello that offers it alone: others reach their site, or no protocol', async () => {
      const record = await tlsAlpn01Record(rig.edge.identity.keyPair.publicKey, 'one.example')
      await rig.publish([{ kind: 'challenge', key: tlsAlpn01Key('one.example'), payload: record }])
      expect(await alpn('acme-tls/1,http/1.1', 'one.example')).toMatchObject({ subject: 'CN = one.example' })
      expect(await alpn('acme-tls/1,other', 'one.example')).toMatchObject({ alert: NO_APPLICATION_PROTOCOL })
      expect(await alpn('http/1.1', 'one.example')).toMatchObject({ subject: 'CN = one.example' })
    })
  })

  describe('the PROXY protocol', () => {
    const v1 = Buffer.from('PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n')

    test('is required of a listed address: both versions, in pieces and with the hello behind', async () => {
      expect(await visitBehind(v1, 'one.example')).toBe('one.example')
      expect(await visitBehind(proxyV2('2001:db8::7', '2001:db8::1'), 'one.example')).toBe('one.example')
      const socket = await behindBalancer(Buffer.alloc(0))
      for (const byte of v1) {
        socket.write(Buffer.of(byte))
        await new Promise((resolve) => setImmediate(resolve))
      }
      const secure = tls.connect({ socket, servername: 'one.example', rejectUnauthorized: false })
      await once(secure, 'secureConnect')
      secure.destroy()
      await expect(visitBehind(Buffer.alloc(0), 'one.example')).rejects.toThrow()
      await expect(visitBehind(Buffer.from('PROXY TCP4 nonsense\r\n'), 'one.example')).rejects.toThrow()
    })

    test('chooses by the announced address the site of a client without a name', async () => {
      expect(await visitBehind(v1, '')).toBe('two.example')
      await expect(visitBehind(proxyV2('192.0.2.7', '198.51.100.2'), '')).rejects.toThrow()
    })

    test('is required on the plain port too', async () => {
      const ask = async (header: Buffer): Promise<string> => {
        const socket = await behindBalancer(
          Buffer.concat([header, Buffer.from('GET / HTTP/1.1\r\nHost: one.example\r\nConnection: close\r\n\r\n')]),
          rig.httpPort,
        )
        const parts: Buffer[] = []
        socket.on('data', (chunk: Buffer) => parts.push(chunk))
        await once(socket, 'close')
        return Buffer.concat(parts).toString()
      }
      expect(await ask(v1)).toMatch(/^HTTP\/1\.1 30[18] /)
      expect(await ask(Buffer.alloc(0))).toBe('')
    })

    test('of anybody else is a bad hello', async () => {
      for (const header of [v1, proxyV2('192.0.2.7', '198.51.100.1')]) {
        const socket = net.connect({ port: rig.httpsPort, host: '127.0.0.1' })
        socket.on('error', () => undefined)
        const parts: Buffer[] = []
        socket.on('data', (chunk: Buffer) => parts.push(chunk))
        socket.write(header)
        await once(socket, 'close')
        expect(Buffer.concat(parts).length).toBe(0)
      }
    })

    test('the limits by address are those of the announced one', async () => {
      await rig.publish([limitsRecord({ addressConnections: 2 })])
      const held = [await behindBalancer(v1), await behindBalancer(v1)]
      const gone = async (): Promise<boolean> => {
        const socket = await behindBalancer(v1)
        await Promise.race([once(socket, 'close'), new Promise((resolve) => setTimeout(resolve, 1_000))])
        const isGone = socket.destroyed
        socket.destroy()
        return isGone
      }
      await expect.poll(gone, { timeout: 20_000 }).toBe(true)
      expect(await visitBehind(proxyV2('192.0.2.8', '198.51.100.1'), 'one.example')).toBe('one.example')
      for (const socket of held) socket.destroy()
      await rig.publish([limitsRecord({})])
    })
  })

  describe('limits', () => {
    const open = async (servername: string): Promise<tls.TLSSocket | null> => {
      const secure = tls.connect({ port: rig.httpsPort, host: '127.0.0.1', servername, rejectUnauthorized: false })
      const isOpen = await once(secure, 'secureConnect').then(
        () => true,
        () => false,
      )
      secure.on('error', () => undefined)
      return isOpen ? secure : null
    }

    test('of a site and of a tenant leave their neighbours served', async () => {
      await rig.publish([limitsRecord({ siteConnections: 3, tenantConnections: 4 })])
      const held: (tls.TLSSocket | null)[] = []
      for (let i = 0; i < 6; i += 1) held.push(await open('one.example'))
      expect(held.map((socket) => socket !== null)).toEqual([true, true, true, false, false, false])
      held.push(await open('sibling.example'), await open('sibling.example'))
      expect(held.slice(6).map((socket) => socket !== null)).toEqual([true, false])
      expect((await get('two.example')).body).toBe('two')
      for (const socket of held) socket?.destroy()
      await expect.poll(async () => (await get('one.example').catch(() => null))?.body, { timeout: 20_000 }).toBe('one')
      await rig.publish([limitsRecord({})])
    })

    test('of the site’s own record count as well', async () => {
      const site = rig.store.get('site', 'one')
      if (site === null) throw new Error('the site is not there')
      await rig.publish([{ kind: 'site', key: 'one', payload: { ...site, options: { maxConnections: 1 } } }])
      const held = await open('one.example')
      expect([held === null, await open('one.example')]).toEqual([false, null])
      held?.destroy()
      await rig.publish([{ kind: 'site', key: 'one', payload: site }])
    })

    test('of handshakes of one address are kept, and others’ are not touched', async () => {
      await rig.publish([limitsRecord({ addressHandshakesPerSecond: 1, addressHandshakesBurst: 3 })])
      const attempt = (): Promise<boolean> =>
        visitBehind(proxyV2('192.0.2.99', '198.51.100.1'), 'one.example').then(
          () => true,
          () => false,
        )
      const answers = await Promise.all(Array.from({ length: 40 }, attempt))
      expect(answers.filter((isServed) => isServed).length).toBeGreaterThanOrEqual(3)
      expect(answers).toContain(false)
      expect(await visitBehind(proxyV2('192.0.2.98', '198.51.100.1'), 'one.example')).toBe('one.example')
      await rig.publish([limitsRecord({})])
    })
  })

  test('only an expired certificate: served, or not where the setting says so', async () => {
    const expired = await authority.issue(['late.example'], { notAfter: new Date(Date.now() - 60_000) })
    await rig.publish([rig.certificate(expired), nameRecord('late.example', 'one', expired)])
    const seen = () => sClient(rig.httpsPort, ['-servername', 'late.example'], 'late.example')
    expect(await seen()).toMatchObject({ session: 'New', subject: 'CN = late.example' })
    await rig.publish([{ kind: 'setting', key: 'expiredCertificate', payload: { value: 'abort' } }])
    expect(await seen()).toMatchObject({ session: null, subject: null, alert: 112 })
  })
})
