import { once } from 'node:events'
import type { Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { http01Key } from '../../contract/records.ts'
import { blobFolder, digestOf } from '../../test/blob-folder.ts'
import { createTestAuthority } from '../../test/certificates.ts'
import { exchangeRaw, openRaw, readAll } from '../../test/http-requests.ts'
import { type ListenerRig, nameRecord, runtimes, siteRecord, startListenerRig } from '../../test/listener-rig.ts'

const css = 'a { color: red } '.repeat(100)
const middle = Buffer.alloc(300_000, 'middle ')
const large = Buffer.alloc(3 * 1024 * 1024 + 7, 'large ')
/** The fast path refuses it and the full path ignores it, so that the same request is answered by both. */
const FULL = 'Keep-Alive: 5\r\n'

describe.each(runtimes)('the fast path on %s', (runtime) => {
  let rig: ListenerRig
  beforeAll(async () => {
    const authority = await createTestAuthority()
    const names = ['a.example.com', 'other.example.com', 'ruled.example.com', 'changes.example.com', 'off.example.com']
    const certificate = await authority.issue(names)
    rig = await startListenerRig({ runtime })
    const manifest = storeRelease(rig.edge.blobs)
    const options = {
      hsts: { maxAgeSeconds: 60, includeSubDomains: false, preload: false },
      headers: [{ path: '/*', set: { 'X-Site': 'ruled', 'Accept-Ranges': null } }],
      redirects: [{ path: '/old*', to: '/', status: 302 as const }],
      cache: [{ path: '/style.css', cacheControl: 'max-age=9' }],
      singlePage: 'index.html',
    }
    await rig.publish([
      rig.certificate(certificate),
      ...names.map((name) => nameRecord(name, `id-${name.split('.')[0]}`, certificate)),
      nameRecord('unissued.example.com', 'id-a'),
      siteRecord('id-a', { manifest }),
      siteRecord('id-other', { manifest: rig.release({ 'index.html': 'other' }) }),
      siteRecord('id-ruled', { manifest, options }),
      siteRecord('id-changes', { manifest: rig.release({ 'index.html': 'first' }) }),
      siteRecord('id-off', { state: 'suspended', manifest }),
      { kind: 'challenge', key: http01Key('token'), payload: { name: 'a.example.com', keyAuthorization: 'token.key' } },
    ])
  })
  afterAll(() => rig.close())

  const target = (serverName = 'a.example.com') => ({ port: rig.httpsPort, serverName })
  const ask = (lines = '', start = 'GET / HTTP/1.1', host = 'a.example.com'): string =>
    `${start}\r\nHost: ${host}\r\n${lines}\r\n`
  const bye = ask('Connection: close\r\n', 'HEAD / HTTP/1.1')

  describe('answers what the full path answers', () => {
    const etag = `"${digestOf(css)}-gzip"`
    const table: readonly (readonly [start: string, lines: string])[] = [
      ['GET / HTTP/1.1', ''],
      ['GET /?q=1 HTTP/1.1', ''],
      ['HEAD / HTTP/1.1', ''],
      ['GET /docs/ HTTP/1.1', ''],
      ['GET /docs?x HTTP/1.1', ''],
      ['GET /caf%C3%A9.txt HTTP/1.1', ''],
      ['GET /cafe%CC%81.txt HTTP/1.1', ''],
      ['GET /style.css HTTP/1.1', 'Accept-Encoding: gzip, br\r\n'],
      ['HEAD /style.css HTTP/1.1', 'Accept-Encoding: gzip\r\n'],
      ['GET /style.css HTTP/1.1', 'Accept-Encoding: gzip;q=0\r\n'],
      ['GET /style.css HTTP/1.1', `Accept-Encoding: gzip\r\nIf-None-Match: "x", W/${etag}\r\n`],
      ['GET /style.css HTTP/1.1', `Accept-Encoding: br\r\nIf-None-Match: ${etag}\r\n`],
      ['GET / HTTP/1.1', 'If-None-Match: *\r\n'],
      ['GET / HTTP/1.1', 'If-Modified-Since: Sun, 01 Mar 2026 12:00:00 GMT\r\n'],
      ['GET / HTTP/1.1', 'If-Modified-Since: Sun, 01 Mar 2026 12:00:01 GMT\r\n'],
      ['GET /middle.bin HTTP/1.1', ''],
      ['GET /large.bin HTTP/1.1', ''],
      ['HEAD /large.bin HTTP/1.1', ''],
      ['GET /large.bin HTTP/1.1', 'Range: bytes=5-9\r\n'],
      ['GET /nothing HTTP/1.1', ''],
      ['GET /%2e%2e/x HTTP/1.1', ''],
      ['GET /% HTTP/1.1', ''],
      ['GET //docs HTTP/1.1', ''],
      ['GET /old/page HTTP/1.1', ''],
      ['GET /any/page HTTP/1.1', ''],
      ['GET /.hidden HTTP/1.1', ''],
      ['GET /.well-known/acme-challenge/token HTTP/1.1', ''],
      ['GET /.well-known/nameplate-challenge/token HTTP/1.1', ''],
      ['GET /a%3Fb.txt HTTP/1.1', ''],
      ['GET /a?b.txt HTTP/1.1', ''],
    ]
    test.each(['a.example.com', 'ruled.example.com'])(
      'for %s',
      async (host) => {
        for (const [start, lines] of table) {
          const fast = await exchangeRaw(target(host), ask(`${lines}Connection: close\r\n`, start, host))
          const full = await exchangeRaw(target(host), ask(`${lines}Connection: close\r\n${FULL}`, start, host))
          expect(partsOf(fast), `${start} ${lines}`).toEqual(partsOf(full))
          // And again, now that it is ready.
          const again = await exchangeRaw(target(host), ask(`${lines}Connection: close\r\n`, start, host))
          expect(partsOf(again), `${start} ${lines}`).toEqual(partsOf(full))
        }
      },
      60_000,
    )

    test.each([
      ['a.example.com', 'other.example.com', '421'],
      ['a.example.com', 'nobody.example.com', '404'],
      ['a.example.com', 'unissued.example.com', '200'],
      ['a.example.com', 'A.Example.COM:99', '200'],
      ['a.example.com', 'a_b.example.com', '400'],
      ['off.example.com', 'off.example.com', '503'],
    ])('server name %s with host %s: %s', async (serverName, host, status) => {
      const fast = await exchangeRaw(target(serverName), ask('Connection: close\r\n', undefined, host))
      const full = await exchangeRaw(target(serverName), ask(`Connection: close\r\n${FULL}`, undefined, host))
      expect(fast).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
      expect(partsOf(fast)).toEqual(partsOf(full))
    })
  })

  test('what it does not answer is handed over in mid-connection, however it is cut', async () => {
    const post = ask('Content-Length: 5\r\n', 'POST / HTTP/1.1')
    const chunked = ask('Transfer-Encoding: chunked\r\n', 'PUT / HTTP/1.1')
    const all = `${ask()}${post}hello${ask('Range: bytes=1-2\r\n')}${chunked}3\r\nabc\r\n0\r\n\r\n${ask()}${bye}`
    for (const piece of [all.length, 7, 1]) {
      const socket = await openRaw(target())
      const answer = readAll(socket)
      for (let at = 0; at < all.length; at += piece) {
        socket.write(all.slice(at, at + piece), 'latin1')
        if (piece === 1 && at % 4 === 0) await new Promise((resolve) => setTimeout(resolve, 2))
      }
      const text = await answer
      expect(text.match(/HTTP\/1\.1 \d+/g)?.map((line) => line.slice(9))).toEqual([
        '200',
        '405',
        '206',
        '405',
        '200',
        '200',
      ])
    }
  }, 60_000)

  test('a head in two pieces does not end the fast path, nor does a pipeline', async () => {
    const socket = await openRaw(target())
    const bodies = readAll(socket)
    const many = Array.from({ length: 300 }, (_, at) => ask('', `GET ${at % 3 === 0 ? '/middle.bin' : '/'} HTTP/1.1`))
    const text = many.join('') + bye
    for (let at = 0; at < text.length; at += 1_000) socket.write(text.slice(at, at + 1_000))
    const answers = await bodies
    expect(answers.match(/HTTP\/1\.1 200 OK/g)?.length).toBe(301)
    expect(answers.length).toBeGreaterThan(100 * middle.length)
  }, 60_000)

  test('who does not read is not read from, and costs little', async () => {
    const socket = await openRaw(target())
    socket.pause()
    const text = ask('', 'GET /middle.bin HTTP/1.1').repeat(20_000)
    socket.write(text)
    let last = -1
    for (let tries = 0; tries < 100 && last !== socket.bytesWritten - socket.writableLength; tries += 1) {
      last = socket.bytesWritten - socket.writableLength
      await new Promise((resolve) => setTimeout(resolve, 300))
    }
    const bodies = readAll(socket, (answers) => answers.length > 40 * middle.length)
    socket.resume()
    expect((await bodies).length).toBeGreaterThan(40 * middle.length)
    socket.destroy()
  }, 60_000)

  test('a change of the record counts from the next request on', async () => {
    const host = 'changes.example.com'
    const socket = await openRaw(target(host))
    const get = async (): Promise<string> => {
      socket.write(ask('', undefined, host))
      return await next(socket)
    }
    expect(await get()).toMatch(/200 OK[\s\S]*first$/)
    expect(await get()).toMatch(/200 OK[\s\S]*first$/)
    const second = rig.release({ 'index.html': 'second' })
    await rig.publish([siteRecord(`id-${host.split('.')[0]}`, { manifest: second })])
    expect(await get()).toMatch(/200 OK[\s\S]*second$/)
    const options = { headers: [{ path: '/*', set: { 'x-new': '1' } }] }
    await rig.publish([siteRecord(`id-${host.split('.')[0]}`, { manifest: second, options })])
    expect(await get()).toMatch(/x-new: 1[\s\S]*second$/)
    await rig.publish([siteRecord(`id-${host.split('.')[0]}`, { manifest: second, state: 'suspended' })])
    expect(await get()).toMatch(/^HTTP\/1.1 503 /)
    socket.destroy()
  })

  test('the date goes on while an answer is sent again and again', async () => {
    const socket = await openRaw(target())
    const dates = new Set<string>()
    for (let tries = 0; tries < 200 && dates.size < 3; tries += 1) {
      socket.write(ask())
      dates.add(/^date: (.*)\r$/m.exec(await next(socket))?.[1] ?? '')
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    expect([...dates].map((date) => new Date(date).toUTCString())).toEqual([...dates])
    expect(dates.size).toBe(3)
    socket.destroy()
  })
})

async function next(socket: Socket): Promise<string> {
  const [piece] = (await once(socket, 'data')) as [Buffer]
  let text = piece.toString('latin1')
  while (!isWhole(text)) text += ((await once(socket, 'data')) as [Buffer])[0].toString('latin1')
  return text
}

function isWhole(text: string): boolean {
  const end = text.indexOf('\r\n\r\n')
  const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0)
  return end >= 0 && text.length >= end + 4 + length
}

function partsOf(answer: string) {
  const end = answer.indexOf('\r\n\r\n')
  const [line = '', ...fields] = answer.slice(0, end).split('\r\n')
  const lower = fields.map((field) => {
    const colon = field.indexOf(':')
    return `${field.slice(0, colon).toLowerCase()}:${field.slice(colon + 1)}`
  })
  return { line, fields: lower.filter((field) => !field.startsWith('date:')).sort(), body: digestOf(answer.slice(end)) }
}

function storeRelease(blobsFolder: string): string {
  const { store, file, release } = blobFolder(blobsFolder)
  const files = {
    'index.html': file('<h1>home</h1>', 'text/html; charset=utf-8'),
    'docs/index.html': file('docs', 'text/html; charset=utf-8'),
    'café.txt': file('coffee', 'text/plain'),
    'a?b.txt': file('question', 'text/plain'),
    '.hidden': file('hidden', 'text/plain'),
    'style.css': file(css, 'text/css', { gzip: store(gzipSync(css)) }),
    'middle.bin': file(middle, 'application/octet-stream'),
    'large.bin': file(large, 'application/octet-stream'),
    '.well-known/acme-challenge/token': file('not ours', 'text/plain'),
  }
  return release(files, '2026-03-01T12:00:00.000Z')
}
