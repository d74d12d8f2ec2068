import { createHash } from 'node:crypto'
import { truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hashBasicAuthPassword } from '../../contract/basic-auth-hash.ts'
import type { SiteOptionsInput } from '../../contract/site-options.ts'
import { createTestAuthority, type TestCertificate } from '../../test/certificates.ts'
import { protocols, request, type TestAnswer, type TestRequest } from '../../test/http-requests.ts'
import { type ListenerRig, nameRecord, runtimes, siteRecord, startListenerRig } from '../../test/listener-rig.ts'

const host = 'site.example.com'
const long = Buffer.alloc(3 * 1024 * 1024, 'abcdefghij')
const files = {
  'index.html': 'home',
  'docs/index.html': 'docs',
  'app.js': 'app',
  '404.html': 'not here',
  '.env': 'SECRET=1',
  'a/.git/config': 'secret',
  '.well-known/security.txt': 'contact',
  '.well-known/acme-challenge/mine': 'never',
  'short.txt': '0123456789',
  'long.txt': long,
}

describe.each(runtimes)('options of a site on %s', (runtime) => {
  let rig: ListenerRig
  let certificate: TestCertificate
  let manifest = ''
  beforeAll(async () => {
    const authority = await createTestAuthority()
    certificate = await authority.issue([host])
    rig = await startListenerRig({ runtime })
    manifest = rig.release(files)
    await rig.publish([rig.certificate(certificate), nameRecord(host, 'site', certificate)])
  })
  afterAll(() => rig.close())

  const set = (options: SiteOptionsInput): Promise<void> => rig.publish([siteRecord('site', { manifest, options })])

  describe.each(protocols)('%s', (protocol) => {
    const get = (path: string, options: Partial<TestRequest> = {}): Promise<TestAnswer> =>
      request({ protocol, port: rig.httpsPort, host, path, ...options })
    const seen = async (path: string, options: Partial<TestRequest> = {}) => {
      const { status, headers, body } = await get(path, options)
      return [status, headers.location ?? body.toString()]
    }

    test('the policy for slashes', async () => {
      await set({ trailingSlash: 'add' })
      expect(await seen('/docs?q')).toEqual([301, '/docs/?q'])
      expect(await seen('/docs/')).toEqual([200, 'docs'])
      await set({ trailingSlash: 'remove' })
      expect(await seen('/docs/?q')).toEqual([301, '/docs?q'])
      expect(await seen('/docs')).toEqual([200, 'docs'])
      expect(await seen('/')).toEqual([200, 'home'])
      expect(await seen('//docs/')).toEqual([404, 'not here'])
      await set({ trailingSlash: 'keep' })
      expect(await seen('/docs')).toEqual([200, 'docs'])
      expect(await seen('/docs/')).toEqual([200, 'docs'])
    })

    test('a single page answers what the release does not hold', async () => {
      await set({ singlePage: 'index.html' })
      expect(await seen('/any/where')).toEqual([200, 'home'])
      expect(await seen('/app.js')).toEqual([200, 'app'])
      expect(await seen('/.env')).toEqual([404, 'not here'])
      await set({ singlePage: 'gone.html' })
      expect(await seen('/any/where')).toEqual([404, 'not here'])
    })

    test('names that begin with a dot are served only where the site says so', async () => {
      await set({})
      for (const path of ['/.env', '/a/.git/config', '/%2eenv', '/a/%2egit/config'])
        expect(await seen(path)).toEqual([404, 'not here'])
      expect(await seen('/.well-known/security.txt')).toEqual([200, 'contact'])
      expect((await get('/.well-known/acme-challenge/mine')).body.toString()).not.toBe('never')
      await set({ dotFiles: true })
      expect(await seen('/.env')).toEqual([200, 'SECRET=1'])
    })

    test('own error pages: by setting, then by the release', async () => {
      await set({ errorPages: { 404: '<p>set' } })
      expect(await seen('/gone')).toEqual([404, '<p>set'])
      await set({})
      expect(await seen('/gone')).toEqual([404, 'not here'])
    })

    test('rules for fields, in their order, and for caches', async () => {
      await set({
        headers: [
          { path: '/*', set: { 'X-Frame-Options': 'DENY', 'X-Content-Type-Options': null } },
          { path: '/app.js', set: { 'X-Frame-Options': 'SAMEORIGIN' } },
        ],
        cache: [{ path: '/app.*', cacheControl: 'public, max-age=31536000, immutable' }],
      })
      const page = await get('/')
      expect(page.headers['x-frame-options']).toBe('DENY')
      expect(page.headers['x-content-type-options']).toBeUndefined()
      expect(page.headers['cache-control']).toBe('public, max-age=0, must-revalidate')
      const script = await get('/app.js')
      expect(script.headers['x-frame-options']).toBe('SAMEORIGIN')
      expect(script.headers['cache-control']).toContain('immutable')
      expect((await get('/gone')).headers['x-frame-options']).toBe('DENY')
    })

    test('HSTS as the site asks for it, and not for a host of nobody', async () => {
      await set({ hsts: { maxAgeSeconds: 300, includeSubDomains: true, preload: false } })
      const { headers } = await get('/')
      expect(headers['strict-transport-security']).toBe('max-age=300; includeSubDomains')
      const foreign = await get('/', { host: 'nobody.example.com', serverName: host })
      expect([foreign.status, foreign.headers['strict-transport-security']]).toEqual([404, undefined])
      await set({})
      expect((await get('/')).headers['strict-transport-security']).toBeUndefined()
    })

    test('redirect rules go before content and keep the query; none leads to another host by its path', async () => {
      await set({
        redirects: [
          { path: '/app.js', to: 'https://cdn.example/app.js', status: 302 },
          { path: '/old/*', to: '/new/*', status: 301 },
          { path: '/out/*', to: '/*', status: 307 },
          { path: '/q', to: '/found?x=1', status: 308 },
        ],
      })
      expect(await seen('/app.js?v=2')).toEqual([302, 'https://cdn.example/app.js?v=2'])
      expect(await seen('/old/a%20b?c')).toEqual([301, '/new/a%20b?c'])
      expect(await seen('/out//evil.example')).toEqual([307, '/evil.example'])
      expect(await seen('/out/%5Cevil.example')).toEqual([307, '/%5Cevil.example'])
      expect(await seen('/old/%0d%0aset-cookie:x')).toEqual([301, '/new/%0D%0Aset-cookie:x'])
      expect(await seen('/q?y=2')).toEqual([308, '/found?x=1&y=2'])
    })

    test('several ranges are sent as parts', async () => {
      await set({})
      const small = await get('/short.txt', { headers: { range: 'bytes=0-1, -2' } })
      expect(small.status).toBe(206)
      expect(parts(small)).toEqual([
        ['bytes 0-1/10', '01'],
        ['bytes 8-9/10', '89'],
      ])
      expect(small.body.length).toBe(Number(small.headers['content-length']))
      const large = await get('/long.txt', { headers: { range: 'bytes=5-6, 1000000-1600000' } })
      expect(parts(large).map(([, text]) => text.length)).toEqual([2, 600_001])
      const whole = await get('/short.txt', { headers: { range: 'bytes=0-5, 2-7' } })
      expect([whole.status, whole.body.toString()]).toEqual([200, '0123456789'])
    })
  })

  test('basic authentication: who may enter, and how often one may guess', async () => {
    const hash = await hashBasicAuthPassword('open sesame')
    const basicAuth = { realm: 'the "vault"', paths: ['/docs/*'], users: [{ name: 'ali', hash }] }
    await set({ basicAuth, trailingSlash: 'keep' })
    const asked = (path: string, credentials?: string): Promise<TestAnswer> => {
      const field = credentials === undefined ? {} : { authorization: `Basic ${btoa(credentials)}` }
      return request({ protocol: 'http/1.1', port: rig.httpsPort, host, path, headers: field })
    }
    const refused = await asked('/docs/')
    expect(refused.status).toBe(401)
    expect(refused.headers['www-authenticate']).toBe('Basic realm="the \\"vault\\"", charset="UTF-8"')
    for (const path of ['/docs', '/docs/', '/%64ocs/', '//docs/', '/x/../docs/', '/x%3F/../docs/'])
      expect((await asked(path)).status, path).toBe(401)
    expect((await asked('/docs/', 'ali:open sesame')).body.toString()).toBe('docs')
    expect((await asked('/docs', 'ali:open sesame')).status).toBe(200)
    expect((await asked('/')).status).toBe(200)
    expect((await asked('/.well-known/acme-challenge/x')).status).toBe(404)
    for (const wrong of ['ali:open', 'bob:open sesame', 'ali', ''])
      expect((await asked('/docs/', wrong)).status, wrong).toBe(401)
    const guesses = await Promise.all(Array.from({ length: 30 }, (_, at) => asked('/docs/', `ali:${at}`)))
    expect(guesses.every(({ status }) => status === 401 || status === 429)).toBe(true)
    expect((await asked('/docs/', 'ali:again')).status).toBe(429)
    // Whoever was admitted before stays so.
    expect((await asked('/docs/', 'ali:open sesame')).status).toBe(200)
    await set({ basicAuth: { ...basicAuth, users: [{ name: 'ali', hash: await hashBasicAuthPassword('new') }] } })
    expect((await asked('/docs/', 'ali:open sesame')).status).not.toBe(200)
  })

  test('content that was lost is 500 with the page of the site, and its neighbours are served', async () => {
    const lost = rig.release({ 'index.html': 'lost soon', 'other.html': 'stays' })
    const digest = createHash('sha256').update('lost soon').digest('hex')
    await truncate(join(rig.edge.blobs, digest.slice(0, 2), digest), 3)
    await rig.publish([siteRecord('site', { manifest: lost, options: { errorPages: { 500: '<p>sorry' } } })])
    const get = (path: string) => request({ protocol: 'h2', port: rig.httpsPort, host, path })
    const broken = await get('/')
    expect([broken.status, broken.body.toString()]).toEqual([500, '<p>sorry'])
    expect((await get('/other.html')).body.toString()).toBe('stays')
  })
})

/** The parts of a multipart body: content range and content. */
function parts({ headers, body }: TestAnswer): (readonly [range: string, text: string])[] {
  const boundary = /boundary=(\S+)/.exec(headers['content-type'] ?? '')?.[1] ?? '?'
  const pieces = body.toString('latin1').split(`\r\n--${boundary}`)
  expect(pieces.shift()).toBe('')
  expect(pieces.pop()).toBe('--\r\n')
  return pieces.map((piece) => {
    const [head = '', text = ''] = piece.split('\r\n\r\n')
    return [/content-range: (.*)/.exec(head)?.[1] ?? '', text] as const
  })
}
