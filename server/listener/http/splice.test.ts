import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { SiteRecord } from '../../contract/records.ts'
import { createTestAuthority } from '../../test/certificates.ts'
import { exchangeRaw, openRaw, readAll, request } from '../../test/http-requests.ts'
import { type ListenerRig, nameRecord, runtimes, siteRecord, startListenerRig } from '../../test/listener-rig.ts'
import { type RawAnswer, type RawUpstream, startRawUpstream } from '../../test/raw-upstream.ts'

const hosts = ['s.example.com', 't.example.com'] as const
const get = (path = '/', more = '', host: string = hosts[0]): string =>
  `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`
const last = (path = '/', more = ''): string => get(path, `Connection: close\r\n${more}`)
const ok = 'HTTP/1.1 200 OK\r\nDate: d\r\n'

describe.each(runtimes)('the byte path on %s', (runtime) => {
  let rig: ListenerRig
  const upstreams: RawUpstream[] = []
  const upstream = async (answer: RawAnswer): Promise<RawUpstream> => {
    const made = await startRawUpstream(answer)
    upstreams.push(made)
    return made
  }
  const publish = (url: string, options: SiteRecord['options'] = {}, key: string = hosts[0]): Promise<void> =>
    rig.publish([siteRecord(key, { kind: 'proxy', upstreams: [{ url, weight: 1 }], options })])
  const target = (serverName: string = hosts[0]) => ({ port: rig.httpsPort, serverName })
  const ask = (bytes: string): Promise<string> => exchangeRaw(target(), bytes)
  beforeAll(async () => {
    const authority = await createTestAuthority()
    const certificate = await authority.issue([...hosts])
    rig = await startListenerRig({ runtime, outboundAllow: ['127.0.0.1/32'] })
    await rig.publish([rig.certificate(certificate), ...hosts.map((host) => nameRecord(host, host, certificate))])
  })
  afterAll(async () => {
    for (const one of upstreams) one.close()
    await rig.close()
  })

  test('what the upstream gets, field by field, is what the long way gives it', async () => {
    const fields =
      'User-Agent: x\r\nAccept: a,  b\r\nCookie: c=1; d=2\r\nAuthorization: Basic eA==\r\nX-Request-Id: 7\r\nConnection: close\r\n'
    const up = await upstream((socket) => socket.write(`${ok}Content-Length: 0\r\n\r\n`))
    await publish(`${up.url}/base`)
    await ask(get('/a%20b?c=%2F', fields))
    // A field that says something about the connection sends the same request the long way.
    await ask(get('/a%20b?c=%2F', `${fields}Keep-Alive: way\r\n`))
    const [short = '', long = ''] = up.heads.map((head) => head.split('\r\n').sort().join('\n'))
    expect(short).toContain('GET /base/a%20b?c=%2F HTTP/1.1')
    expect(short).toMatch(/X-Forwarded-For: 127\.0\.0\.1\n/)
    expect(short).toContain('Forwarded: for=127.0.0.1;host="s.example.com";proto=https')
    const isTheirs = (line: string): boolean => !/^(connection):/i.test(line)
    expect(long.split('\n').filter(isTheirs)).toEqual(short.split('\n').filter(isTheirs))
  })

  test.each<[string, string, string, string]>([
    ['a length', `${ok}X-A: 1\r\nContent-Length: 5\r\n\r\nhello`, `${ok}X-A: 1\r\nContent-Length: 5\r\n`, 'hello'],
    [
      'fields between neighbours',
      `${ok}Connection: keep-alive, x-a\r\nX-A: 1\r\nKeep-Alive: t\r\nTE: x\r\nProxy-Authenticate: y\r\nContent-Length: 0\r\n\r\n`,
      `${ok}Content-Length: 0\r\n`,
      '',
    ],
    [
      'chunks with extensions and trailers',
      `${ok}transfer-encoding: CHUNKED\r\nTrailer: E\r\n\r\n5;x=y\r\nhello\r\n0\r\nE: 1\r\n\r\n`,
      `${ok}Transfer-Encoding: chunked\r\n`,
      '5\r\nhello\r\n0\r\n\r\n',
    ],
    [
      'informational heads before it',
      `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n${ok}Content-Length: 1\r\n\r\nx`,
      `${ok}Content-Length: 1\r\n`,
      'x',
    ],
    [
      'no body by its status',
      'HTTP/1.1 204 No Content\r\nDate: d\r\n\r\n',
      'HTTP/1.1 204 No Content\r\nDate: d\r\n',
      '',
    ],
    [
      'not modified',
      'HTTP/1.1 304 Not Modified\r\nDate: d\r\nContent-Length: 9\r\n\r\n',
      'HTTP/1.1 304 Not Modified\r\nDate: d\r\nContent-Length: 9\r\n',
      '',
    ],
    [
      'an error of its own',
      'HTTP/1.1 503 Busy\r\nDate: d\r\nContent-Length: 1\r\n\r\n!',
      'HTTP/1.1 503 Busy\r\nDate: d\r\nContent-Length: 1\r\n',
      '!',
    ],
  ])('%s', async (_, answer, head, body) => {
    for (const step of [answer.length, 1]) {
      const up = await upstream((socket) => void drip(socket, answer, step))
      await publish(up.url)
      expect(await ask(last())).toBe(`${head}Connection: close\r\n\r\n${body}`)
      up.close()
    }
  })

  test.each<[string, string, string]>([
    ['until it ends', `${ok}\r\nhello`, 'hello'],
    ['HTTP/1.0', 'HTTP/1.0 200 OK\r\nDate: d\r\n\r\nhello', 'hello'],
    ['HTTP/1.0 with a length', 'HTTP/1.0 200 OK\r\nDate: d\r\nContent-Length: 5\r\n\r\nhello', 'hello'],
  ])('an answer %s is whole for the visitor, and its connection goes on', async (_, answer, body) => {
    const up = await upstream((socket) => socket.end(answer))
    await publish(up.url)
    const text = await ask(get('/1') + last('/2'))
    expect(text.match(/HTTP\/1\.1 200 OK\r\n/g)?.length).toBe(2)
    expect(text.split(body).length).toBe(3)
    expect(up.connections).toBe(2)
    expect((await request({ port: rig.httpsPort, host: hosts[0] })).body.toString()).toBe(body)
  })

  test('HEAD has the fields of GET and no body', async () => {
    const up = await upstream((socket) => socket.write(`${ok}Content-Length: 9\r\n\r\n`))
    await publish(up.url)
    expect(await ask(last().replace('GET', 'HEAD'))).toBe(`${ok}Content-Length: 9\r\nConnection: close\r\n\r\n`)
  })

  test('an answer without a date gets one (RFC 9110 section 6.6.1)', async () => {
    const up = await upstream((socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'))
    await publish(up.url)
    expect(await ask(last())).toMatch(/\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n/)
  })

  test.each([
    ['both framings', `${ok}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['two lengths', `${ok}Content-Length: 1\r\nContent-Length: 1\r\n\r\na`],
    ['a length that is none', `${ok}Content-Length: 1x\r\n\r\na`],
    ['a coding', `${ok}Transfer-Encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\n\r\n`],
    ['a bad first chunk', `${ok}Transfer-Encoding: chunked\r\n\r\n5x\r\nhello\r\n0\r\n\r\n`],
    ['more than its length', `${ok}Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`],
    [
      'more behind its last chunk',
      `${ok}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`,
    ],
    ['a body behind 204', 'HTTP/1.1 204 No\r\n\r\nevil'],
    ['a switch of protocols', 'HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'],
    ['a bare line feed', 'HTTP/1.1 200 OK\nContent-Length: 4\n\nevil'],
    ['a folded field', `${ok}A: b\r\n c\r\nContent-Length: 0\r\n\r\n`],
    ['a NUL', `${ok}A: \0\r\nContent-Length: 0\r\n\r\n`],
    ['no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['a head of 10 MB', `${ok}A: ${'x'.repeat(10_000_000)}`],
    ['ten thousand informational heads', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(10_000)],
    ['300 fields', `${ok}${'A: b\r\n'.repeat(300)}Content-Length: 0\r\n\r\n`],
    ['nothing, but the end', ''],
  ])('%s: 502, and the connection to the upstream is never used again', async (_, answer) => {
    const up = await upstream((socket) => {
      if (answer === '') socket.end()
      else socket.write(answer, 'latin1')
    })
    await publish(up.url, { errorPages: { 502: 'own page' } })
    const text = await ask(get('/1') + last('/2'))
    expect(text.match(/HTTP\/1\.1 502 Bad Gateway\r\n/g)?.length).toBe(2)
    expect(text.match(/own page/g)?.length).toBe(2)
    expect(text).not.toContain('evil')
    expect(up.connections).toBeGreaterThanOrEqual(2)
  })

  test.each<[string, string, string]>([
    ['a broken chunk', `${ok}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`, 'zz\r\n'],
    ['bytes behind its end', `${ok}Content-Length: 8\r\n\r\nhello`, 'you!evil'],
    ['an early end', `${ok}Content-Length: 100\r\n\r\nhello`, ''],
    ['an early end of chunks', `${ok}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`, ''],
  ])('%s after the head: the visitor sees that it is not whole', async (_, first, then) => {
    const up = await upstream((socket) => {
      socket.write(first)
      setTimeout(() => (then === '' ? socket.end() : socket.write(then)), 150)
    })
    await publish(up.url)
    await expect(request({ port: rig.httpsPort, host: hosts[0] })).rejects.toThrow()
    const text = await ask(get('/1') + last('/2'))
    expect(text.match(/HTTP\//g)?.length).toBe(1)
    expect(text).not.toContain('evil')
    expect(text).not.toMatch(/\r\n0\r\n/)
  })

  test('one connection to the upstream carries request after request, and a stale one costs nothing', async () => {
    const up = await upstream((socket, { request }) => {
      if (request < 3) socket.write(`${ok}Content-Length: 2\r\n\r\nok`)
      else socket.destroy()
    })
    await publish(up.url)
    for (let turn = 0; turn < 4; turn += 1) expect(await ask(last())).toMatch(/ok$/)
    expect(up.connections).toBe(2)
    expect(up.heads.length).toBe(5)
  })

  test('what an upstream says between two requests is no answer', async () => {
    const up = await upstream((socket, { connection }) => {
      socket.write(`${ok}Content-Length: 2\r\n\r\nok`)
      if (connection === 1) setTimeout(() => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'), 50)
    })
    await publish(up.url)
    expect(await ask(last())).toMatch(/ok$/)
    await sleep(300)
    expect(await ask(last())).toMatch(/ok$/)
    expect(up.connections).toBe(2)
  })

  test('two sites never share a connection, though their upstream is the same', async () => {
    const up = await upstream((socket, { connection }) => {
      const body = `c${connection}.`
      socket.write(`${ok}Content-Length: ${body.length}\r\n\r\n${body}`)
    })
    for (const host of hosts) await publish(up.url, {}, host)
    const seen = { [hosts[0]]: new Set<string>(), [hosts[1]]: new Set<string>() }
    for (let turn = 0; turn < 8; turn += 1)
      for (const host of hosts) {
        const text = await exchangeRaw(target(host), get('/', 'Connection: close\r\n', host))
        seen[host].add(/c\d+\./.exec(text)?.[0] ?? '')
      }
    expect([seen[hosts[0]].size, seen[hosts[1]].size]).toEqual([1, 1])
    expect(seen[hosts[0]].isDisjointFrom(seen[hosts[1]])).toBe(true)
  })

  test('requests sent ahead are answered in their order, whatever way each of them goes', async () => {
    const up = await upstream((socket, { head }) => {
      const path = `${/^\w+ (\S+)/.exec(head)?.[1]}\n`
      setTimeout(() => socket.write(`${ok}Content-Length: ${path.length}\r\n\r\n${path}`), path.length % 3)
    })
    await publish(up.url)
    const paths = Array.from({ length: 40 }, (_, at) => `/x${'p'.repeat(at % 7)}${at}`)
    const requests = paths.map((path, at) => get(path, at === 25 ? 'Keep-Alive: way\r\n' : ''))
    const text = await ask(requests.join('') + last('/xend'))
    expect(text.match(/\/x\w+/g)).toEqual([...paths, '/xend'])
  })

  test('a request that comes in pieces is one', async () => {
    const up = await upstream((socket) => socket.write(`${ok}Content-Length: 2\r\n\r\nok`))
    await publish(up.url)
    const socket = await openRaw(target())
    const answer = readAll(socket)
    for (const piece of [
      get('/1'),
      'GE',
      'T /2 HT',
      'TP/1.1\r\nHost: s.exa',
      'mple.com\r\nConnection: close\r',
      '\n\r\n',
    ]) {
      socket.write(piece)
      await sleep(30)
    }
    expect((await answer).match(/ok/g)?.length).toBe(2)
    expect(up.heads.length).toBe(2)
  })

  test.each([
    ['two lengths', 'Content-Length: 3\r\nContent-Length: 4\r\n'],
    ['length and chunks', 'Content-Length: 3\r\nTransfer-Encoding: chunked\r\n'],
    ['a hidden coding', 'Transfer-Encoding : chunked\r\n'],
    ['another Host', 'Host: t.example.com\r\n'],
    ['a bare line feed', 'A: b\nGET /evil HTTP/1.1\nHost: s.example.com\n\n'],
  ])('a request with %s reaches no upstream', async (_, fields) => {
    const up = await upstream((socket) => socket.write(`${ok}Content-Length: 2\r\n\r\nok`))
    await publish(up.url)
    const text = await ask(get('/first') + get('/second', fields) + last('/third'))
    expect(text).toMatch(/^HTTP\/1\.1 200 [\s\S]*HTTP\/1\.1 400 /)
    expect(up.heads.map((head) => /\/\w+/.exec(head)?.[0])).toEqual(['/first'])
  })

  test('a new upstream answers the next request of an open connection', async () => {
    const [one, two] = [await upstream(say('one')), await upstream(say('two'))]
    await publish(one.url)
    const socket = await openRaw(target())
    socket.write(get())
    await readAll(socket, (text) => text.endsWith('one'))
    await publish(two.url)
    socket.write(get())
    await readAll(socket, (text) => text.endsWith('two'))
    await rig.publish([siteRecord(hosts[0], { kind: 'static', manifest: rig.release({ 'index.html': 'file' }) })])
    socket.write(last())
    expect(await readAll(socket)).toMatch(/file$/)
    expect(one.open.size + two.open.size).toBe(0)
  })

  test('an upstream that hangs is 504, before and after it was reached', async () => {
    const up = await upstream((socket, { head }) => {
      if (head.includes('/half')) socket.write('HTTP/1.1 200 OK\r\nDate: d\r\n')
    })
    await publish(up.url, { proxy: { responseTimeoutMs: 300 }, errorPages: { 504: 'own page' } })
    const text = await ask(get('/silent') + last('/half'))
    expect(text.match(/HTTP\/1\.1 504 Gateway Timeout\r\n/g)?.length).toBe(2)
    expect(text).toMatch(/own page$/)
  })

  test('a visitor who leaves ends the request', async () => {
    const arrived = Promise.withResolvers<void>()
    const ended = Promise.withResolvers<void>()
    const up = await upstream((socket) => {
      socket.on('close', () => ended.resolve())
      arrived.resolve()
    })
    await publish(up.url)
    const socket = await openRaw(target())
    socket.write(get())
    await arrived.promise
    socket.destroy()
    await ended.promise
  })

  test('a slow reader holds the upstream back, and gets everything in the end', async () => {
    const size = 48 * 1024 * 1024
    let written = 0
    const up = await upstream((socket) => {
      const piece = Buffer.alloc(256 * 1024, 'x')
      socket.write(`${ok}Content-Length: ${size}\r\n\r\n`)
      const more = (): void => {
        while (written < size) {
          written += piece.length
          if (!socket.write(piece)) return void socket.once('drain', more)
        }
      }
      more()
    })
    await publish(up.url)
    const socket = await openRaw(target())
    socket.write(last())
    socket.pause()
    await sleep(1_000)
    const early = written
    await sleep(500)
    expect(written).toBe(early)
    expect(early).toBeLessThan(size)
    let read = 0
    socket.on('data', (bytes: Buffer) => {
      read += bytes.length
    })
    socket.resume()
    await new Promise((resolve) => socket.once('close', resolve))
    expect(read).toBeGreaterThan(size)
  })

  test('each request is told to the log once, with its status and bytes', async () => {
    const up = await upstream((socket, { head }) => {
      if (head.includes('logged-bad')) socket.write('no HTTP')
      else if (head.includes('logged-chunks'))
        socket.write(`${ok}Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n1\r\n!\r\n0\r\n\r\n`)
      else socket.write(`${ok}Content-Length: 2\r\n\r\nok`)
    })
    await publish(up.url, { errorPages: { 502: 'own page' } })
    await ask(get('/logged-good') + get('/logged-chunks') + last('/logged-bad'))
    const file = join(rig.folder, 'logs/tenant', hosts[0], 'access.log')
    const lines = (): string[] => {
      const all = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : []
      return all.filter((line) => line.includes('/logged-'))
    }
    await expect.poll(() => lines().length, { timeout: 20_000 }).toBe(3)
    expect(lines().map((line) => JSON.parse(line))).toMatchObject([
      { method: 'GET', target: '/logged-good', host: hosts[0], status: 200, bytes: 2, tls: 'TLSv1.3' },
      { method: 'GET', target: '/logged-chunks', status: 200, bytes: 3 },
      { method: 'GET', target: '/logged-bad', host: hosts[0], status: 502, bytes: 8 },
    ])
  })

  test('events reach the visitor as they come', async () => {
    const heard = Promise.withResolvers<void>()
    const up = await upstream(async (socket) => {
      socket.write(`${ok}Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nd\r\ndata: first\n\n\r\n`)
      await heard.promise
      socket.write('e\r\ndata: second\n\n\r\n0\r\n\r\n')
    })
    await publish(up.url)
    const socket = await openRaw(target())
    socket.write(last())
    await readAll(socket, (text) => text.includes('first'))
    const rest = readAll(socket)
    heard.resolve()
    expect(await rest).toContain('second')
  })
})

function say(text: string): RawAnswer {
  return (socket) => void socket.write(`${ok}Content-Length: ${text.length}\r\n\r\n${text}`)
}

async function drip(
  socket: { write(text: string, encoding: 'latin1'): void },
  text: string,
  step: number,
): Promise<void> {
  for (let at = 0; at < text.length; at += step) {
    socket.write(text.slice(at, at + step), 'latin1')
    if (step < text.length) await sleep(1)
  }
}
