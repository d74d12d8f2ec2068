import { readdir, readFile, readlink } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { blobFolder, digestOf } from '../../test/blob-folder.ts'
import { createTestAuthority } from '../../test/certificates.ts'
import {
  openHttp2,
  openRaw,
  protocols,
  request,
  requestOn,
  type TestAnswer,
  type TestRequest,
} from '../../test/http-requests.ts'
import { type ListenerRig, nameRecord, runtimes, siteRecord, startListenerRig } from '../../test/listener-rig.ts'

const text = 'body { color: red } '.repeat(200)
const large = Buffer.alloc(5 * 1024 * 1024 + 123, 'large file ')
const huge = Buffer.alloc(40 * 1024 * 1024, 'huge file ')

describe.each(runtimes)('static sites on %s', (runtime) => {
  let rig: ListenerRig
  beforeAll(async () => {
    const authority = await createTestAuthority()
    const names = ['site.example.com', 'empty.example.com', 'plain.example.com', 'off.example.com', 'lost.example.com']
    const certificate = await authority.issue(names)
    rig = await startListenerRig({ runtime })
    await rig.publish([
      rig.certificate(certificate),
      ...names.map((name) => nameRecord(name, `id-${name.split('.')[0]}`, certificate)),
      siteRecord('id-site', { manifest: storeRelease(rig.edge.blobs) }),
      siteRecord('id-empty', { manifest: null }),
      siteRecord('id-plain', { manifest: rig.release({ 'index.html': 'plain' }) }),
      siteRecord('id-off', { manifest: rig.release({ 'index.html': 'off' }), state: 'suspended' }),
      siteRecord('id-lost', { manifest: 'a'.repeat(64) }),
    ])
  })
  afterAll(() => rig.close())

  describe.each(protocols)('%s', (protocol) => {
    const get = (path: string, options: Partial<TestRequest> = {}): Promise<TestAnswer> =>
      request({ protocol, port: rig.httpsPort, host: 'site.example.com', path, ...options })

    test('serves files and index files with type, tag and date', async () => {
      const root = await get('/')
      expect(root.status).toBe(200)
      expect(root.body.toString()).toBe('<h1>home</h1>')
      expect(root.headers).toMatchObject({
        'content-type': 'text/html; charset=utf-8',
        'content-length': '13',
        'last-modified': 'Sun, 01 Mar 2026 12:00:00 GMT',
        'accept-ranges': 'bytes',
      })
      expect(root.headers.etag).toBe(`"${digestOf('<h1>home</h1>')}"`)
      expect((await get('/docs/')).body.toString()).toBe('docs')
      expect((await get('/docs/index.html?v=1')).body.toString()).toBe('docs')
    })

    test('a folder without its slash is redirected, with its query', async () => {
      const answer = await get('/docs?a=1')
      expect([answer.status, answer.headers.location]).toEqual([301, '/docs/?a=1'])
    })

    test.each([
      ['/caf%C3%A9.txt', 200],
      ['/cafe%CC%81.txt', 200],
      ['/caf%25C3%25A9.txt', 404],
      ['/%', 400],
      ['/%ff', 400],
      ['/../index.html', 404],
      ['/docs/../index.html', 404],
      ['/%2e%2e/%2e%2e/etc/passwd', 404],
      ['//docs', 404],
      ['//evil.example/', 404],
      ['/__proto__', 404],
      ['/constructor', 404],
      ['/docs/index.html/', 404],
      ['/index.html%00', 404],
    ])('%s is %i', async (path, status) => {
      const answer = await get(path)
      expect(answer.status).toBe(status)
      expect(answer.headers.location).toBeUndefined()
    })

    test('what is missing gets the 404 page of the site, or ours', async () => {
      const own = await get('/nothing')
      expect([own.status, own.body.toString()]).toEqual([404, 'own not found'])
      const ours = await get('/nothing', { host: 'plain.example.com' })
      expect(ours.status).toBe(404)
      expect(ours.headers['cache-control']).toBe('no-store')
      expect(ours.body.toString()).not.toContain('example')
    })

    test('HEAD gives the head of GET and no body', async () => {
      for (const path of ['/', '/large.bin', '/nothing', '/docs']) {
        const [head, whole] = [await get(path, { method: 'HEAD' }), await get(path)]
        expect(head.status).toBe(whole.status)
        expect(head.body.length).toBe(0)
        expect({ ...head.headers, date: '' }).toEqual({ ...whole.headers, date: '' })
      }
    })

    test.each(['POST', 'PUT', 'DELETE', 'OPTIONS'])('%s is 405 with Allow', async (method) => {
      const answer = await get('/', { method, ...(method === 'OPTIONS' ? {} : { body: Buffer.alloc(100_000) }) })
      expect([answer.status, answer.headers.allow]).toEqual([405, 'GET, HEAD'])
    })

    test.each([
      ['br, gzip', 'br'],
      ['gzip', 'gzip'],
      ['gzip;q=1, br;q=0.5', 'gzip'],
      ['br;q=0, gzip;q=0', undefined],
      ['*', 'br'],
      ['identity', undefined],
    ])('Accept-Encoding: %s gives %s', async (field, encoding) => {
      const answer = await get('/style.css', { headers: { 'accept-encoding': field } })
      expect(answer.headers['content-encoding']).toBe(encoding)
      expect(answer.headers.vary).toBe('accept-encoding')
      expect(answer.headers.etag).toBe(`"${digestOf(text)}${encoding === undefined ? '' : `-${encoding}`}"`)
      expect(answer.body.equals(encodedText(encoding))).toBe(true)
    })

    test('conditions: unchanged is 304, a changed one is sent, a wrong If-Match is 412', async () => {
      const { etag = '', 'last-modified': modified = '' } = (await get('/')).headers
      const status = async (headers: Record<string, string>): Promise<number> => (await get('/', { headers })).status
      expect(await status({ 'if-none-match': etag })).toBe(304)
      expect(await status({ 'if-none-match': `"x", W/${etag}` })).toBe(304)
      expect(await status({ 'if-none-match': '"x"', 'if-modified-since': modified })).toBe(200)
      expect(await status({ 'if-modified-since': modified })).toBe(304)
      expect(await status({ 'if-modified-since': 'Sun, 01 Mar 2026 13:00:00 GMT' })).toBe(200)
      expect(await status({ 'if-match': '"x"' })).toBe(412)
      expect(await status({ 'if-match': etag })).toBe(200)
      const unchanged = await get('/', { headers: { 'if-none-match': etag } })
      expect([unchanged.body.length, unchanged.headers.etag]).toEqual([0, etag])
    })

    test.each([
      ['/large.bin', 'bytes=0-9', 206, [0, 10]],
      ['/large.bin', 'bytes=1000000-', 206, [1_000_000, large.length]],
      ['/large.bin', 'bytes=-5', 206, [large.length - 5, large.length]],
      ['/large.bin', 'bytes=5242000-99999999', 206, [5_242_000, large.length]],
      ['/large.bin', 'bytes=0-5,5-6', 200, [0, large.length]],
      ['/large.bin', 'bytes=9-1', 200, [0, large.length]],
      ['/large.bin', 'lines=1-2', 200, [0, large.length]],
      ['/', 'bytes=4-7', 206, [4, 8]],
    ] as const)('%s with %s is %i', async (path, range, status, [from, to]) => {
      const answer = await get(path, { headers: { range } })
      const whole = path === '/' ? Buffer.from('<h1>home</h1>') : large
      expect(answer.status).toBe(status)
      expect(answer.body.equals(whole.subarray(from, to))).toBe(true)
      if (status === 206) expect(answer.headers['content-range']).toBe(`bytes ${from}-${to - 1}/${whole.length}`)
    })

    test('a range behind the end is 416; If-Range decides whether a range counts', async () => {
      const answer = await get('/large.bin', { headers: { range: `bytes=${large.length}-` } })
      expect([answer.status, answer.headers['content-range']]).toEqual([416, `bytes */${large.length}`])
      const { etag = '' } = (await get('/large.bin', { method: 'HEAD' })).headers
      const ranged = async (condition: string): Promise<number> =>
        (await get('/large.bin', { headers: { range: 'bytes=0-1', 'if-range': condition } })).status
      expect(await ranged(etag)).toBe(206)
      expect(await ranged('"other"')).toBe(200)
    })

    test('a site without release, a suspended one and one whose content is lost', async () => {
      const empty = await get('/', { host: 'empty.example.com' })
      expect(empty.status).toBe(404)
      expect(empty.body.toString()).toContain('Nothing here yet')
      expect((await get('/', { host: 'off.example.com' })).status).toBe(503)
      expect((await get('/', { host: 'lost.example.com' })).status).toBe(500)
    })
  })

  test('a new release and a suspension count from the next request on, on open connections too', async () => {
    const host = 'plain.example.com'
    const session = openHttp2({ port: rig.httpsPort, host })
    const see = async (): Promise<string> => {
      const { status, body } = await requestOn(session, { ':path': '/', ':authority': host })
      return status === 200 ? body.toString() : String(status)
    }
    const publish = (manifest: string, state: 'active' | 'suspended' = 'active'): Promise<void> =>
      rig.publish([siteRecord(`id-${host.split('.')[0]}`, { manifest, state })])
    const first = rig.release({ 'index.html': 'plain' })
    expect(await see()).toBe('plain')
    await publish(rig.release({ 'index.html': 'second' }))
    expect(await see()).toBe('second')
    await publish(first, 'suspended')
    expect(await see()).toBe('503')
    await publish(first)
    expect(await see()).toBe('plain')
    session.destroy()
  })

  test('clients that leave in mid-download leave no file open', async () => {
    const [pid = 0] = rig.pids()
    const openBlobs = async (): Promise<number> => {
      const files = await readdir(`/proc/${pid}/fd`)
      const targets = await Promise.all(files.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')))
      return targets.filter((target) => target.startsWith(rig.edge.blobs)).length
    }
    const sockets = await Promise.all(
      Array.from({ length: 8 }, () => openRaw({ port: rig.httpsPort, serverName: 'site.example.com' })),
    )
    for (const socket of sockets) socket.write('GET /huge.bin HTTP/1.1\r\nHost: site.example.com\r\n\r\n')
    const session = openHttp2({ port: rig.httpsPort, host: 'site.example.com' })
    const stream = session.request({ ':path': '/huge.bin', ':authority': 'site.example.com' })
    stream.on('error', () => undefined)
    await waitFor(async () => (await openBlobs()) === 9)
    for (const socket of sockets) socket.destroy()
    stream.close()
    await waitFor(async () => (await openBlobs()) === 0)
    session.destroy()
  })

  test('slow readers cost little memory', async () => {
    const [pid = 0] = rig.pids()
    const before = await residentBytes(pid)
    const sockets = await Promise.all(
      Array.from({ length: 20 }, () => openRaw({ port: rig.httpsPort, serverName: 'site.example.com' })),
    )
    for (const socket of sockets) {
      socket.write('GET /huge.bin HTTP/1.1\r\nHost: site.example.com\r\n\r\n')
      socket.pause()
    }
    await sleep(2_000)
    const grown = (await residentBytes(pid)) - before
    for (const socket of sockets) socket.destroy()
    expect(grown).toBeLessThan(100 * 1024 * 1024)
  })
})

async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) * 1024
}

async function waitFor(isDone: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 300; tries += 1) {
    if (await isDone()) return
    await sleep(50)
  }
  throw new Error('did not come to pass')
}

function encodedText(encoding: string | undefined): Buffer {
  if (encoding === 'br') return brotliCompressSync(text)
  return encoding === 'gzip' ? gzipSync(text) : Buffer.from(text)
}

function storeRelease(blobsFolder: string): string {
  const { store, file, release } = blobFolder(blobsFolder)
  const html = 'text/html; charset=utf-8'
  const files = {
    'index.html': file('<h1>home</h1>', html),
    'docs/index.html': file('docs', html),
    '404.html': file('own not found', html),
    'café.txt': file('coffee', 'text/plain; charset=utf-8'),
    'style.css': file(text, 'text/css', { br: store(encodedText('br')), gzip: store(encodedText('gzip')) }),
    'large.bin': file(large, 'application/octet-stream'),
    'huge.bin': file(huge, 'application/octet-stream'),
  }
  return release(files, '2026-03-01T12:00:00.000Z')
}
