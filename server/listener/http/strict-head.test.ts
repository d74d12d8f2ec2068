import http from 'node:http'
import { PassThrough } from 'node:stream'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createHeadReader, type StrictHead } from './strict-head.ts'

const read = (text: string, from = 0): StrictHead | null => createHeadReader().read(Buffer.from(text, 'latin1'), from)
const get = (...lines: readonly string[]): string => ['GET / HTTP/1.1', 'Host: a.test', ...lines, '', ''].join('\r\n')

describe('a head that has one meaning', () => {
  test('is read with what the fast paths act on', () => {
    const text = `HEAD /a/b.css?v=1 HTTP/1.1\r\nHost:  a.test \r\nUser-Agent: x\r\nConnection: close\r\nCookie: k=v\r\n\r\nGET`
    const head = read(text)
    expect(head).toMatchObject({ method: 'HEAD', target: '/a/b.css?v=1', end: text.length - 3 })
    expect(head?.fields).toMatchObject({ host: 'a.test', keepsAlive: false, userAgent: 'x', hasOtherConditions: false })
    expect(text.slice(head?.fieldsFrom, head?.fieldsEnd)).toMatch(/^Host: {2}a.test \r\n[\s\S]*Cookie: k=v\r\n$/)
  })

  test('is read wherever it begins, and the fields are those of before when nothing else was said', () => {
    const reader = createHeadReader()
    const two = Buffer.from(get('Accept-Encoding: br') + get('Accept-Encoding: br').replace('GET /', 'GET /two'))
    const first = reader.read(two, 0)
    const second = reader.read(two, first?.end ?? 0)
    expect(second).toMatchObject({ target: '/two', end: two.length })
    expect(second?.fields).toBe(first?.fields)
    const third = reader.read(Buffer.from(get('Accept-Encoding: gzip')), 0)
    expect(third?.fields.acceptEncoding).toBe('gzip')
  })

  test('tells of conditions that it does not read itself', () => {
    for (const name of ['Range', 'If-Range', 'If-Match', 'If-Unmodified-Since'])
      expect(read(get(`${name}: x`))?.fields.hasOtherConditions).toBe(true)
  })
})

const foreign: readonly (readonly [what: string, text: string])[] = [
  ['incomplete', get().slice(0, -1)],
  ['no host', 'GET / HTTP/1.1\r\n\r\n'],
  ['an empty host', 'GET / HTTP/1.1\r\nHost:\r\n\r\n'],
  ['two hosts', get('Host: b.test')],
  ['another method', get().replace('GET', 'POST')],
  ['a lower-case method', get().replace('GET', 'get')],
  ['a line before it', `\r\n${get()}`],
  ['HTTP/1.0', get().replace('1.1', '1.0')],
  ['absolute form', get().replace('GET /', 'GET http://a.test/')],
  ['an asterisk', get().replace('GET /', 'GET *')],
  ['a fragment', get().replace('GET /', 'GET /#x')],
  ['an 8-bit path', get().replace('GET /', 'GET /\xe4')],
  ['a space in the path', get().replace('GET /', 'GET /a b')],
  ['a body by length', get('Content-Length: 0')],
  ['a body in chunks', get('Transfer-Encoding: chunked')],
  ['an upgrade', get('Upgrade: websocket')],
  ['an expectation', get('Expect: 100-continue')],
  ['Connection that names a field', get('Connection: keep-alive, x-y')],
  ['Connection twice', get('Connection: close', 'Connection: close')],
  ['a space before the colon', get('A : b')],
  ['a folded field', get('A: b', ' c')],
  ['an empty name', get(': b')],
  ['a name with a dot', get('a.b: c')],
  ['a control byte in a value', get('A: b\x01')],
  ['NUL in a value', get('A: b\0')],
  ['an 8-bit value', get('A: \xe4')],
  ['a lone LF', get('A: b').replaceAll('\r\n', '\n')],
  ['a lone CR', get('A: b\rC: d')],
  ['Accept-Encoding twice', get('Accept-Encoding: br', 'Accept-Encoding: gzip')],
  ['more fields than are allowed', get(...Array.from({ length: 200 }, (_, at) => `F-${at}: x`))],
  ['more bytes than are allowed', get(`A: ${'x'.repeat(17_000)}`)],
]

describe('a head that is for another parser', () => {
  test.each(foreign)('%s', (_, text) => expect(read(text)).toBeNull())
})

/** How the runtime's own parser reads the first request of these bytes. */
function parsedByRuntime(bytes: Buffer): Promise<http.IncomingMessage | null> {
  return new Promise((resolve) => {
    const server = http.createServer({ requireHostHeader: false }, (request) => resolve(request))
    server.on('clientError', () => resolve(null))
    server.on('connect', () => resolve(null))
    server.on('upgrade', () => resolve(null))
    const socket = new PassThrough()
    server.emit('connection', socket)
    socket.emit('data', bytes)
    setImmediate(() => resolve(null))
  })
}

const piece = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.constantFrom(
      'GET ',
      'HEAD ',
      '/',
      '/a?b',
      ' HTTP/1.1',
      '\r\n',
      'Host: a.test',
      'A: b',
      'Connection: close',
    ),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      'Content-Length: 1',
      'Transfer-Encoding: chunked',
      'Host: b',
      '\n',
      '\r',
      ' ',
      ':',
      'Range: bytes=0-',
    ),
  },
  { weight: 1, arbitrary: fc.string({ minLength: 1, maxLength: 3, unit: 'binary' }) },
)
const mutated = fc.tuple(fc.array(piece, { maxLength: 12 }), fc.nat({ max: 60 })).map(([pieces, at]) => {
  const whole = get('User-Agent: probe', 'Accept: */*')
  return Buffer.from(whole.slice(0, at) + pieces.join('') + whole.slice(at), 'latin1')
})

describe('properties', () => {
  test('what is accepted is read in the same way by the runtime’s own parser', async () => {
    await fc.assert(
      fc.asyncProperty(mutated, async (bytes) => {
        const head = createHeadReader().read(bytes, 0)
        if (head === null) return
        const request = await parsedByRuntime(bytes.subarray(0, head.end))
        expect(request).toMatchObject({ method: head.method, url: head.target, httpVersion: '1.1' })
        expect(request?.headers.host).toBe(head.fields.host)
        expect(request?.headers['user-agent'] ?? '').toBe(head.fields.userAgent)
        const block = bytes.toString('latin1', head.fieldsFrom, head.fieldsEnd).trimEnd()
        expect(request?.rawHeaders.length).toBe(block.split('\r\n').length * 2)
      }),
      { numRuns: 3_000, seed: 7 },
    )
  })

  test('no bytes make it throw, and an answer never reaches behind them', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat({ max: 220 }), (bytes, from) => {
        const head = createHeadReader().read(Buffer.from(bytes), from)
        expect(head === null || head.end <= bytes.length).toBe(true)
      }),
      { numRuns: 3_000, seed: 7 },
    )
  })
})
