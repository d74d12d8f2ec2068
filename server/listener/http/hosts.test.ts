import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { http01Key } from '../../contract/records.ts'
import { createTestAuthority } from '../../test/certificates.ts'
import { exchangeRaw, openHttp2, protocols, request, requestOn } from '../../test/http-requests.ts'
import {
  addressRecord,
  type ListenerRig,
  nameRecord,
  type RigRecord,
  runtimes,
  siteRecord,
  startListenerRig,
} from '../../test/listener-rig.ts'

const challenge = (token: string, name: string): RigRecord => ({
  kind: 'challenge',
  key: http01Key(token),
  payload: { name, keyAuthorization: `${token}.thumbprint` },
})

describe.each(runtimes)('hosts on %s', (runtime) => {
  let rig: ListenerRig
  beforeAll(async () => {
    const authority = await createTestAuthority()
    const certificate = await authority.issue(['a.example.com', '*.w.example.com', 'b.example.com', '127.0.0.2'])
    rig = await startListenerRig({ runtime })
    await rig.publish([
      rig.certificate(certificate),
      nameRecord('a.example.com', 'site-a', certificate),
      nameRecord('alias.example.com', 'site-a', certificate),
      nameRecord('*.w.example.com', 'site-a', certificate),
      nameRecord('hidden.w.example.com', 'site-b'),
      nameRecord('b.example.com', 'site-b', certificate),
      nameRecord('off.example.com', 'site-off', certificate),
      nameRecord('moved.example.com', 'site-moved', certificate),
      nameRecord('bare.example.com', 'site-bare', certificate),
      nameRecord('broken.example.com', 'site-broken', certificate),
      addressRecord('127.0.0.2', 'site-a', certificate),
      addressRecord('127.0.0.3', 'site-b', certificate),
      siteRecord('site-a', { manifest: rig.release({ 'index.html': 'A' }) }),
      siteRecord('site-b', { manifest: rig.release({ 'index.html': 'B' }) }),
      siteRecord('site-off', { state: 'suspended' }),
      siteRecord('site-moved', { kind: 'redirect', redirectTo: 'https://new.example.net/base/' }),
      siteRecord('site-bare', { kind: 'redirect', redirectTo: 'https://new.example.net/page', redirectStatus: 302 }),
      siteRecord('site-broken', { kind: 'redirect', redirectTo: 'https://new.example.net/\r\nSet-Cookie: a=1' }),
      challenge('tokenA', 'a.example.com'),
      challenge('tokenOff', 'off.example.com'),
      challenge('tokenNew', 'new.example.com'),
    ])
  })
  afterAll(() => rig.close())

  describe.each(protocols)('%s', (protocol) => {
    const ask = (serverName: string | null, host: string, more: { path?: string; address?: string } = {}) =>
      request({ protocol, port: rig.httpsPort, serverName, host, ...more })

    test.each([
      ['a.example.com', 'a.example.com', 200],
      ['a.example.com', 'A.Example.COM.', 200],
      ['a.example.com', 'a.example.com:8443', 200],
      ['a.example.com', 'alias.example.com', 200],
      ['a.example.com', 'x.w.example.com', 200],
      ['x.w.example.com', 'a.example.com', 200],
      ['a.example.com', 'b.example.com', 421],
      ['b.example.com', 'a.example.com', 421],
      ['a.example.com', 'hidden.w.example.com', 421],
      ['a.example.com', 'nobody.example.com', 404],
      ['a.example.com', 'x.y.w.example.com', 404],
      ['a.example.com', '127.0.0.1', 404],
      ['a.example.com', '127.0.0.3', 421],
      ['a.example.com', 'a_b.example.com', 400],
    ])('server name %s with host %s is %i', async (serverName, host, status) => {
      const answer = await ask(serverName, host)
      expect(answer.status).toBe(status)
      if (status === 200) expect(answer.body.toString()).toBe('A')
      else expect(answer.body.toString()).not.toMatch(/example|>[AB]</)
    })

    test('a dedicated address is a host for those who dialled it without a name', async () => {
      const at = (host: string, address = '127.0.0.2') => ask(null, host, { address })
      expect((await at('127.0.0.2')).body.toString()).toBe('A')
      expect((await at('127.0.0.2:443')).status).toBe(200)
      expect((await at('a.example.com')).status).toBe(200)
      expect((await at('b.example.com')).status).toBe(421)
      expect((await at('127.0.0.3')).status).toBe(421)
      expect((await at('127.0.0.9')).status).toBe(404)
      expect((await ask('a.example.com', '127.0.0.2', { address: '127.0.0.2' })).status).toBe(200)
    })

    test('redirect sites append path and query to a target that ends in a slash', async () => {
      const moved = await ask('moved.example.com', 'moved.example.com', { path: '/x/y?q=1' })
      expect([moved.status, moved.headers.location]).toEqual([308, 'https://new.example.net/base/x/y?q=1'])
      const bare = await ask('bare.example.com', 'bare.example.com', { path: '/x/y?q=1' })
      expect([bare.status, bare.headers.location]).toEqual([302, 'https://new.example.net/page'])
    })

    test('a redirect that would break out of its field is 500', async () => {
      const answer = await ask('broken.example.com', 'broken.example.com')
      expect([answer.status, answer.headers['set-cookie']]).toEqual([500, undefined])
    })

    test('challenges are answered over https too, for suspended sites as well', async () => {
      const path = '/.well-known/acme-challenge/tokenOff'
      const answer = await ask('off.example.com', 'off.example.com', { path })
      expect([answer.status, answer.body.toString()]).toEqual([200, 'tokenOff.thumbprint'])
      expect((await ask('off.example.com', 'off.example.com')).status).toBe(503)
      expect((await ask('a.example.com', 'a.example.com', { path })).status).toBe(404)
    })
  })

  test('streams of one HTTP/2 connection reach its own site only', async () => {
    const session = openHttp2({ port: rig.httpsPort, host: 'a.example.com' })
    const status = async (authority: string, more = {}): Promise<number> =>
      (await requestOn(session, { ':path': '/', ':authority': authority, ...more })).status
    expect(await status('a.example.com')).toBe(200)
    expect(await status('b.example.com')).toBe(421)
    expect(await status('a.example.com', { host: 'a.example.com' })).toBe(200)
    expect(await status('a.example.com', { host: 'b.example.com' })).toBe(400)
    expect(await status('alias.example.com')).toBe(200)
    session.destroy()
  })

  const plain = (bytes: string): Promise<string> =>
    exchangeRaw({ port: rig.httpPort }, bytes, (text) => /\r\n\r\n/.test(text))
  const secure = (bytes: string): Promise<string> =>
    exchangeRaw({ port: rig.httpsPort, serverName: 'a.example.com' }, bytes, (text) => /\r\n\r\n/.test(text))

  test.each([
    ['GET / HTTP/1.1\r\n\r\n', 400],
    ['GET / HTTP/1.0\r\n\r\n', 400],
    ['GET / HTTP/1.1\r\nHost: a.example.com\r\nHost: a.example.com\r\n\r\n', 400],
    ['GET / HTTP/1.1\r\nHost: a.example.com\r\nhost: b.example.com\r\n\r\n', 400],
    ['GET / HTTP/1.1\r\nHost: a.example.com, b.example.com\r\n\r\n', 400],
    ['GET / HTTP/1.1\r\nHost:\r\n\r\n', 400],
    ['GET / HTTP/1.1\r\nHost: user@a.example.com\r\n\r\n', 400],
    ['GET / HTTP/1.1\r\nHost: a.example.com:port\r\n\r\n', 400],
    ['GET https://a.example.com/ HTTP/1.1\r\nHost: a.example.com\r\n\r\n', 200],
    ['GET https://b.example.com/ HTTP/1.1\r\nHost: a.example.com\r\n\r\n', 400],
    ['GET https://b.example.com/ HTTP/1.1\r\nHost: b.example.com\r\n\r\n', 421],
    ['GET / HTTP/1.1\r\nHost: a.example.com\r\nX-Forwarded-Host: b.example.com\r\n\r\n', 200],
    ['OPTIONS * HTTP/1.1\r\nHost: a.example.com\r\n\r\n', 400],
    ['TRACE / HTTP/1.1\r\nHost: a.example.com\r\n\r\n', 501],
    ['GET /#x HTTP/1.1\r\nHost: a.example.com\r\n\r\n', 400],
  ])('%j is %i', async (bytes, status) => {
    expect(await secure(bytes)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
  })

  const on80 = (host: string, path: string, method = 'GET'): Promise<string> =>
    plain(`${method} ${path} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 0\r\n\r\n`)

  test('the plain port redirects names that have a certificate, and nothing else', async () => {
    const port = rig.httpsPort
    const redirected = await on80('A.example.com:80', '/p/%41?q=//x')
    expect(redirected).toMatch(/^HTTP\/1\.1 301 /)
    expect(redirected).toContain(`\r\nlocation: https://a.example.com:${port}/p/%41?q=//x\r\n`)
    expect(await on80('x.w.example.com', '//evil.example/')).toContain(
      `https://x.w.example.com:${port}//evil.example/\r\n`,
    )
    expect(await on80('a.example.com', '/', 'POST')).toMatch(/^HTTP\/1\.1 308 /)
    for (const host of ['hidden.w.example.com', 'nobody.example.com', '127.0.0.2', '127.0.0.1', 'localhost'])
      expect(await on80(host, '/')).toMatch(/^HTTP\/1\.1 404 /)
    expect(await plain('GET / HTTP/1.1\r\nHost: a.example.com\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n')).toMatch(
      /^HTTP\/1\.1 301 /,
    )
  })

  test('the plain port answers challenges of that very host, also before it has a certificate', async () => {
    const path = '/.well-known/acme-challenge/'
    const answer = await exchangeRaw(
      { port: rig.httpPort },
      `GET ${path}tokenNew HTTP/1.1\r\nHost: new.example.com\r\nConnection: close\r\n\r\n`,
    )
    expect(answer).toMatch(/^HTTP\/1\.1 200 /)
    expect(answer.endsWith('\r\n\r\ntokenNew.thumbprint')).toBe(true)
    expect(await on80('a.example.com', `${path}tokenA`)).toMatch(/^HTTP\/1\.1 200 /)
    expect(await on80('b.example.com', `${path}tokenA`)).toMatch(/^HTTP\/1\.1 404 /)
    expect(await on80('a.example.com', `${path}unknown`)).toMatch(/^HTTP\/1\.1 404 /)
    for (const host of ['a.example.com', 'nobody.example.com', 'b.example.com'])
      expect(await on80(host, `${path}tokenA${host === 'a.example.com' ? 'x' : ''}`)).toContain(
        '\r\nacme-challenge: unknown-token\r\n',
      )
    expect(await on80('a.example.com', `${path}tokenA`)).not.toContain('acme-challenge:')
    expect(await on80('a.example.com', '/.well-known/other')).not.toContain('acme-challenge:')
    expect(await on80('a.example.com', `${path}../tokenA`)).toMatch(/^HTTP\/1\.1 404 /)
    expect(await on80('a.example.com', path)).toMatch(/^HTTP\/1\.1 404 /)
    expect(await on80('a.example.com', '/.well-known/nameplate-challenge/x')).toMatch(/^HTTP\/1\.1 404 /)
    expect(await on80('a.example.com', '/.well-known/%6eameplate-challenge/x')).toMatch(/^HTTP\/1\.1 404 /)
  })

  test('what was unknown is served once its record has come', async () => {
    expect(await on80('late.example.com', '/.well-known/acme-challenge/late')).toMatch(/^HTTP\/1\.1 404 /)
    expect(await on80('late.example.com', '/')).toMatch(/^HTTP\/1\.1 404 /)
    const record = rig.store.get('name', 'a.example.com')
    if (record === null) throw new Error('no record')
    await rig.publish([
      challenge('late', 'late.example.com'),
      { kind: 'name', key: 'late.example.com', payload: record },
    ])
    expect(await on80('late.example.com', '/.well-known/acme-challenge/late')).toMatch(/^HTTP\/1\.1 200 /)
    expect(await on80('late.example.com', '/')).toMatch(/^HTTP\/1\.1 301 /)
    await rig.publish([
      { kind: 'challenge', key: http01Key('late'), payload: null },
      { kind: 'name', key: 'late.example.com', payload: null },
    ])
    expect(await on80('late.example.com', '/.well-known/acme-challenge/late')).toMatch(/^HTTP\/1\.1 404 /)
    expect(await on80('late.example.com', '/')).toMatch(/^HTTP\/1\.1 404 /)
  })
})
