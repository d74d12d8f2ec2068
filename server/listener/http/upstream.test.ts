import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import tls from 'node:tls'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createReach } from '../../contract/reach.ts'
import { createTestAuthority } from '../../test/certificates.ts'
import type { Sent } from './exchange.ts'
import { upstreamFields, visitorFields } from './forwarded-fields.ts'
import { chooseUpstream, createUpstreams, parseUpstream, UpstreamForbiddenError } from './upstream.ts'

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

describe('chooseUpstream', () => {
  const of = (...weights: number[]) => weights.map((weight, at) => ({ url: String(at), weight }))
  test.each([
    [of(1, 3), 0, '0'],
    [of(1, 3), 0.2499, '0'],
    [of(1, 3), 0.25, '1'],
    [of(1, 3), 0.9999, '1'],
    [of(0, 1, 0), 0.9999, '1'],
    [of(0, 0), 0.6, '1'],
    [of(-5, 1), 0, '1'],
  ])('%j at %d is %s', (upstreams, point, url) => expect(chooseUpstream(upstreams, point)?.url).toBe(url))

  test('one is always found while there is one', () => {
    expect(chooseUpstream([], 0.5)).toBeNull()
    const weights = fc.array(fc.integer({ min: 0, max: 1_000 }), { minLength: 1 })
    fc.assert(
      fc.property(weights, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (list, point) => {
        const chosen = chooseUpstream(of(...list), point)
        expect(chosen).not.toBeNull()
        if (list.some((weight) => weight > 0)) expect(chosen?.weight).toBeGreaterThan(0)
      }),
    )
  })
})

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

  test('an IPv6 visitor is quoted in Forwarded (RFC 7239 section 6)', () => {
    const fields = upstreamFields(sent('2001:db8::1', []), 'h:8443', 'none')
    expect(fields.at(-1)).toBe('for="[2001:db8::1]";host="h:8443";proto=https')
    expect(fields).not.toContain('Content-Length')
  })
})

describe('dialling', () => {
  const head = { method: 'GET', path: '/', fields: ['Host', 'visitor.example.com'] }
  const site = { id: 's', isPanel: false }

  test('an address that may not be reached is refused before anything is sent', () => {
    const upstreams = createUpstreams(createReach([]))
    for (const host of ['127.0.0.1', '::1', '169.254.169.254', '::ffff:10.0.0.1', '64:ff9b::a00:1', '0.0.0.0'])
      expect(() => upstreams.request(site, { isTls: false, host, port: 80, basePath: '' }, head)).toThrow(
        UpstreamForbiddenError,
      )
  })

  test('a TLS upstream is told and verified by the name in its URL, not by Host', async () => {
    const authority = await createTestAuthority()
    const [right, wrong] = [await authority.issue(['localhost']), await authority.issue(['visitor.example.com'])]
    const before = tls.getCACertificates('default')
    tls.setDefaultCACertificates([...before, authority.caPem])
    const serverNames: unknown[] = []
    try {
      for (const [leaf, isTrusted] of [
        [right, true],
        [wrong, false],
      ] as const) {
        const server = https.createServer({ key: leaf.privateKeyPem, cert: leaf.chainPem }, (incoming, response) => {
          serverNames.push((incoming.socket as tls.TLSSocket).servername)
          response.end('ok')
        })
        server.listen(0, 'localhost')
        await once(server, 'listening')
        const { port } = server.address() as AddressInfo
        const upstreams = createUpstreams(createReach(['127.0.0.0/8', '::1/128']))
        const outgoing = upstreams.request(site, { isTls: true, host: 'localhost', port, basePath: '' }, head).end()
        const answer = once(outgoing, 'response') as Promise<[IncomingMessage]>
        if (isTrusted) (await answer)[0].resume()
        else await expect(answer).rejects.toThrow(/altnames/)
        upstreams.drop(site.id)
        server.closeAllConnections()
        server.close()
      }
    } finally {
      tls.setDefaultCACertificates(before)
    }
    expect(serverNames).toEqual(['localhost'])
  })
})
