import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import type tls from 'node:tls'
import { afterAll, describe, expect, test } from 'vitest'
import { createReach } from '../../contract/reach.ts'
import type { SiteRecord } from '../../contract/records.ts'
import type { ProxyOptions } from '../../contract/site-options.ts'
import { createTestAuthority } from '../../test/certificates.ts'
import { createDeadlines } from '../deadlines.ts'
import type { Sent } from './exchange.ts'
import { timesPassed, upstreamFields, visitorFields } from './forwarded-fields.ts'
import { createUpstreams, type Upstreams } from './upstream.ts'
import { parseUpstream } from './upstream-address.ts'
import type { UpstreamHead } from './upstream-group.ts'
import type { UpstreamNames } from './upstream-names.ts'
import { UpstreamForbiddenError } from './upstream-reach.ts'

test.each([
  ['http://h', { isTls: false, host: 'h', port: 80, basePath: '' }],
  ['https://h/', { isTls: true, host: 'h', port: 443, basePath: '' }],
  ['http://h:81/a/b/', { isTls: false, host: 'h', port: 81, basePath: '/a/b' }],
  ['http://[2001:db8::1]:81/?q', { isTls: false, host: '2001:db8::1', port: 81, basePath: '' }],
  // Every spelling of an address is judged as that address.
  ['http://0x7f.1/', { isTls: false, host: '127.0.0.1', port: 80, basePath: '' }],
  ['ws://h/', null],
  ['file:///etc/passwd', null],
  ['', null],
])('%s is read as %j', (url, address) => expect(parseUpstream(url)).toEqual(address))

describe('fields', () => {
  const sent = (remoteAddress: string, rawHeaders: string[]): Sent =>
    ({ rawHeaders, connection: { remoteAddress, isSecure: true } }) as unknown as Sent

  test('what Connection names stays between neighbours, in both directions', () => {
    const raw = [
      'Host',
      'h',
      'Connection',
      'close, X-Hop',
      'X-Hop',
      '1',
      'TE',
      'trailers',
      'Cookie',
      'a=1',
      'cookie',
      'b=2',
    ]
    expect(upstreamFields(sent('192.0.2.1', raw), 'h', 'chunked').slice(0, 6)).toEqual([
      ...['Host', 'h', 'Cookie', 'a=1; b=2', 'Transfer-Encoding', 'chunked'],
    ])
    expect(
      visitorFields(['Keep-Alive', 'timeout=5', 'Connection', 'x-hop', 'X-Hop', '1', 'Upgrade', 'h2c', 'A', '1']),
    ).toEqual([['a', '1']])
  })

  test('what was passed on is counted and told, and other names stay (RFC 8586)', () => {
    const raw = ['CDN-Loop', 'cdn.example; v=1, nameplate', 'cdn-loop', 'NAMEPLATE;x']
    expect(timesPassed(raw)).toBe(2)
    expect(timesPassed(['CDN-Loop', 'nameplates, other', 'X', 'nameplate'])).toBe(0)
    const fields = upstreamFields(sent('192.0.2.1', raw), 'h', 'none')
    expect(fields.slice(2, 4)).toEqual(['CDN-Loop', 'cdn.example; v=1, nameplate, NAMEPLATE;x, nameplate'])
  })

  test('an IPv6 visitor is quoted in Forwarded (RFC 7239 section 6)', () => {
    const fields = upstreamFields(sent('2001:db8::1', []), 'h:8443', 'none')
    expect(fields.at(-1)).toBe('for="[2001:db8::1]";host="h:8443";proto=https')
    expect(fields).not.toContain('Content-Length')
  })
})

describe('dialling', () => {
  const head: UpstreamHead = { method: 'GET', path: '/', fields: ['Host', 'visitor.example.com'] }
  const deadlines = createDeadlines()
  afterAll(() => deadlines.close())
  const record = (url: string, more: Partial<SiteRecord> = {}): SiteRecord => ({
    tenantId: 't',
    kind: 'proxy',
    state: 'active',
    manifest: null,
    upstreams: [{ url, weight: 1 }],
    redirectTo: null,
    redirectStatus: null,
    isPanel: false,
    ...more,
  })
  const begin = (upstreams: Upstreams, site: SiteRecord, siteId = 's') => {
    const group = upstreams.of(siteId, site)
    const peer = group.choose([])
    if (peer === null) throw new Error('no upstream')
    return group.request(peer, head)
  }

  test('an address that may not be reached is refused before anything is sent', () => {
    const upstreams = createUpstreams({ reach: createReach([]), deadlines })
    for (const host of ['127.0.0.1', '[::1]', '169.254.169.254', '[::ffff:10.0.0.1]', '[64:ff9b::a00:1]', '0.0.0.0'])
      expect(() => begin(upstreams, record(`http://${host}`))).toThrow(UpstreamForbiddenError)
  })

  test('no site, the panel neither, reaches a port of this listener', () => {
    const isOwn = (address: string, port: number): boolean => address === '127.0.0.1' && port === 8_443
    const upstreams = createUpstreams({ reach: createReach(['127.0.0.0/8']), deadlines, isOwn })
    for (const isPanel of [false, true])
      expect(() => begin(upstreams, record('http://127.0.0.1:8443', { isPanel }))).toThrow(UpstreamForbiddenError)
  })

  test('a name is judged by each address that it has', async () => {
    const names: UpstreamNames = {
      resolve(name, _, done) {
        done(null, [{ address: name === 'inner.example' ? '10.0.0.1' : '169.254.169.254', family: 4 }])
        return () => undefined
      },
    }
    const upstreams = createUpstreams({ reach: createReach([]), deadlines, names })
    for (const name of ['inner.example', 'metadata.example']) {
      const [error] = await once(begin(upstreams, record(`http://${name}`)), 'error')
      expect(error).toBeInstanceOf(UpstreamForbiddenError)
    }
  })

  describe('TLS', async () => {
    type Case = { names: string[]; options: Partial<ProxyOptions>; isTrusted: boolean; told: string | false }
    const { caPem, issue } = await createTestAuthority()
    const other = await createTestAuthority('another')
    test.each<[string, Case]>([
      [
        'a root of its own is trusted',
        { names: ['localhost'], options: { caPem }, isTrusted: true, told: 'localhost' },
      ],
      [
        'another root is not',
        { names: ['localhost'], options: { caPem: other.caPem }, isTrusted: false, told: 'localhost' },
      ],
      ['nor is it without one', { names: ['localhost'], options: {}, isTrusted: false, told: 'localhost' }],
      [
        'the name of Host does not count',
        { names: ['visitor.example.com'], options: { caPem }, isTrusted: false, told: 'localhost' },
      ],
      [
        'a name of its own is told and verified',
        { names: ['inner.test'], options: { caPem, tlsServerName: 'inner.test' }, isTrusted: true, told: 'inner.test' },
      ],
      [
        'nothing is verified where it says so',
        { names: ['x.test'], options: { verifyTls: false }, isTrusted: true, told: 'localhost' },
      ],
    ])('%s', async (_, { names, options, isTrusted, told }) => {
      const leaf = await issue(names)
      const serverNames: unknown[] = []
      const server = https.createServer({ key: leaf.privateKeyPem, cert: leaf.chainPem }, (_incoming, response) => {
        response.end('ok')
      })
      server.on('secureConnection', (socket: tls.TLSSocket) => serverNames.push(socket.servername))
      server.listen(0, 'localhost')
      await once(server, 'listening')
      const { port } = server.address() as AddressInfo
      const upstreams = createUpstreams({ reach: createReach(['127.0.0.0/8', '::1/128']), deadlines })
      // A site whose root is trusted went before: trust is not shared.
      upstreams.of('trusting', record(`https://localhost:${port}`, { options: { proxy: { caPem } } }))
      const outgoing = begin(upstreams, record(`https://localhost:${port}`, { options: { proxy: options } })).end()
      const answer = once(outgoing, 'response') as Promise<[IncomingMessage]>
      if (isTrusted) (await answer)[0].resume()
      else await expect(answer).rejects.toThrow(/altnames|issuer|self-signed|unable/)
      if (isTrusted) expect(serverNames).toEqual([told])
      upstreams.drop('s')
      server.closeAllConnections()
      server.close()
    })
  })
})
