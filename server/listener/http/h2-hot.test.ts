import { expect, test } from 'vitest'
import { createTestAuthority } from '../../test/certificates.ts'
import { openHttp2, requestOn, type TestAnswer } from '../../test/http-requests.ts'
import { nameRecord, runtimes, siteRecord, startListenerRig } from '../../test/listener-rig.ts'

const host = 'a.example.com'
/** The ready answers leave it to the full path, which ignores ranges in units that it does not know. */
const FULL = { range: 'lines=0-1' }

test.each(runtimes)(
  'HTTP/2 on %s: ready answers are those of the full path, and follow the record',
  async (runtime) => {
    const authority = await createTestAuthority()
    const certificate = await authority.issue([host, 'b.example.com'])
    await using rig = await startListenerRig({ runtime })
    const files = { 'index.html': 'first', 'middle.bin': Buffer.alloc(200_000, 'm'), 'docs/index.html': 'docs' }
    const manifest = rig.release(files)
    const hsts = { maxAgeSeconds: 9, includeSubDomains: false, preload: false }
    await rig.publish([
      rig.certificate(certificate),
      nameRecord(host, 'a', certificate),
      nameRecord('b.example.com', 'b', certificate),
      siteRecord('a', { manifest, options: { hsts, cache: [{ path: '/docs/*', cacheControl: 'no-cache' }] } }),
      siteRecord('b', { manifest }),
    ])
    const session = openHttp2({ port: rig.httpsPort, host })
    const ask = (path: string, more: Record<string, string> = {}): Promise<TestAnswer> =>
      requestOn(session, { ':path': path, ':authority': host, ...more })
    const { etag = '' } = (await ask('/')).headers
    const table: readonly (readonly [path: string, more: Record<string, string>])[] = [
      ['/', {}],
      ['/?q', {}],
      ['/docs/', {}],
      ['/docs', {}],
      ['/nothing', {}],
      ['/middle.bin', {}],
      ['/', { ':method': 'HEAD' }],
      ['/', { 'if-none-match': etag }],
      ['/', { 'accept-encoding': 'br, gzip' }],
      ['/', { ':authority': 'b.example.com' }],
      ['/', { ':authority': 'nobody.example.com' }],
      ['/', { ':method': 'DELETE' }],
      ['/%', {}],
    ]
    for (const [path, more] of table) {
      const full = await ask(path, { ...FULL, ...more })
      for (let again = 0; again < 2; again += 1) {
        const ready = await ask(path, more)
        expect(ready.status, path).toBe(full.status)
        expect({ ...ready.headers, date: '' }, path).toEqual({ ...full.headers, date: '' })
        expect(ready.body.equals(full.body), path).toBe(true)
      }
    }

    const many = await Promise.all(Array.from({ length: 1_000 }, () => ask('/')))
    expect(new Set(many.map(({ status, body }) => `${status} ${body}`))).toEqual(new Set(['200 first']))

    await rig.publish([siteRecord('a', { manifest: rig.release({ 'index.html': 'second' }) })])
    const changed = await ask('/')
    expect([changed.body.toString(), changed.headers['strict-transport-security']]).toEqual(['second', undefined])
    await rig.publish([siteRecord('a', { manifest, state: 'suspended' })])
    expect((await ask('/')).status).toBe(503)
    session.destroy()
  },
)
