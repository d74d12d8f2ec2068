import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { captureHello } from '../test/captured-hello.ts'
import { mutate, seededRandom } from '../test/mutations.ts'
import { MAX_PEEK_BYTES, parseClientHello } from './client-hello.ts'
import { tlsAlert } from './tls-alert.ts'

/** Cuts the handshake bytes of a one-record hello into records of `size`. */
function inRecords(hello: Buffer, size: number): Buffer {
  const records: Buffer[] = []
  for (let at = 5; at < hello.length; at += size) {
    const part = hello.subarray(at, Math.min(at + size, hello.length))
    records.push(Buffer.of(22, 3, 1, part.length >> 8, part.length & 255), part)
  }
  return Buffer.concat(records)
}

/** Builds a hello from its extensions, in one record. */
function helloWith(extensions: readonly Buffer[]): Buffer {
  const list = Buffer.concat(extensions)
  const body = Buffer.concat([
    Buffer.of(3, 3),
    Buffer.alloc(32, 7),
    Buffer.of(0, 0, 2, 0x13, 1, 1, 0, list.length >> 8, list.length & 255),
    list,
  ])
  const message = Buffer.concat([Buffer.of(1, 0, body.length >> 8, body.length & 255), body])
  return Buffer.concat([Buffer.of(22, 3, 1, message.length >> 8, message.length & 255), message])
}

function serverNameExtension(name: Buffer, type = 0): Buffer {
  const n = name.length
  return Buffer.concat([Buffer.of(0, 0, 0, n + 5, 0, n + 3, type, n >> 8, n & 255), name])
}

let hello: Buffer

beforeAll(async () => {
  hello = await captureHello({ servername: 'shop.example.com', ALPNProtocols: ['h2', 'http/1.1'] })
})

const expected = {
  kind: 'hello',
  hello: expect.objectContaining({
    serverName: 'shop.example.com',
    alpn: ['h2', 'http/1.1'],
    versions: [0x0304, 0x0303],
    ticketNames: [],
  }),
}

/** An extension with its type and length in front. */
function extension(type: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.of(type >> 8, type & 255, body.length >> 8, body.length & 255), body])
}

function prefixed(body: Buffer): Buffer {
  return Buffer.concat([Buffer.of(body.length >> 8, body.length & 255), body])
}

describe('a real hello', () => {
  test('is read', () => {
    expect(parseClientHello(hello)).toEqual(expected)
  })

  test('is asked for again only when there is enough, at every length', () => {
    for (let length = 0; length < hello.length; length += 1) {
      const peeked = parseClientHello(hello.subarray(0, length))
      expect(peeked.kind).toBe('need-more')
      if (peeked.kind !== 'need-more') continue
      expect(peeked.atLeast).toBeGreaterThan(length)
      expect(peeked.atLeast).toBeLessThanOrEqual(hello.length)
    }
  })

  test.each([25, 100, 255])('is put together from records of %i bytes', (size) => {
    const cut = inRecords(hello, Math.max(size, Math.ceil((hello.length - 5) / 60)))
    expect(parseClientHello(cut)).toEqual(expected)
    expect(parseClientHello(cut.subarray(0, -1)).kind).toBe('need-more')
  })

  test.each([1, 3])('in records of %i bytes is read up to the limit of records', (size) => {
    const cut = inRecords(hello, size)
    expect(parseClientHello(cut)).toEqual(expected)
    const long = helloWith([extension(21, Buffer.alloc(5_000)), serverNameExtension(Buffer.from('a.example'))])
    expect(parseClientHello(inRecords(long, size * 2))).toEqual(
      size === 1 ? { kind: 'bad', alert: tlsAlert.decodeError } : expect.objectContaining({ kind: 'hello' }),
    )
  })

  test('in tiny records is looked at a few times only', () => {
    const cut = inRecords(hello, 1)
    let looks = 0
    let length = 0
    for (let peeked = parseClientHello(cut.subarray(0, length)); peeked.kind === 'need-more'; looks += 1) {
      length = peeked.atLeast
      peeked = parseClientHello(cut.subarray(0, length))
    }
    expect(length).toBe(cut.length)
    expect(looks).toBeLessThan(100)
  })

  test('tells its suites and groups, GREASE values and what nobody knows included', () => {
    const grease = extension(0x0a0a, Buffer.of(0))
    const ech = extension(0xfe0d, Buffer.alloc(200, 7))
    const groups = extension(10, prefixed(Buffer.of(0x1a, 0x1a, 0x11, 0xec, 0, 29)))
    expect(parseClientHello(helloWith([grease, ech, groups]))).toMatchObject({
      hello: { suites: [0x1301], groups: [0x1a1a, 0x11ec, 29], serverName: null },
    })
    expect(parseClientHello(hello)).toMatchObject({
      hello: { suites: expect.arrayContaining([0x1301]), groups: expect.arrayContaining([29]) },
    })
  })

  test('tells the key names of its tickets, of TLS 1.2 and of each pre-shared key of TLS 1.3', () => {
    const ticket = (byte: number) => Buffer.concat([Buffer.alloc(16, byte), Buffer.alloc(100, 0xff)])
    const identity = (byte: number) => Buffer.concat([prefixed(ticket(byte)), Buffer.alloc(4)])
    const binders = prefixed(Buffer.concat([Buffer.of(32), Buffer.alloc(32)]))
    const short = Buffer.concat([prefixed(Buffer.from('external')), Buffer.alloc(4)])
    const preShared = Buffer.concat([prefixed(Buffer.concat([identity(2), short, identity(3)])), binders])
    const peeked = parseClientHello(helloWith([extension(35, ticket(1)), extension(41, preShared)]))
    expect(peeked).toMatchObject({ hello: { ticketNames: ['01', '02', '03'].map((byte) => byte.repeat(16)) } })
    expect(parseClientHello(helloWith([extension(35, Buffer.alloc(0)), extension(41, Buffer.of(9, 9))]))).toMatchObject(
      {
        hello: { ticketNames: [] },
      },
    )
  })

  test('without name or ALPN says so', async () => {
    const bare = await captureHello({ maxVersion: 'TLSv1.2' })
    expect(parseClientHello(bare)).toEqual({
      kind: 'hello',
      hello: expect.objectContaining({ serverName: null, alpn: [], versions: [0x0303], ticketNames: [] }),
    })
  })

  test('followed by more bytes is read all the same', () => {
    expect(parseClientHello(Buffer.concat([hello, Buffer.from('early data')]))).toEqual(expected)
  })
})

describe('what is no proper hello', () => {
  const bad = (alert: number | null) => ({ kind: 'bad', alert })
  const record = (...bytes: number[]) => Buffer.of(...bytes)
  test.each([
    ['a hello of SSLv2 that asks for SSLv2', record(0x80, 0x2e, 1, 0, 2), bad(null)],
    ['a hello of SSLv2 that asks for TLS 1.0', record(0x80, 0x2e, 1, 3, 1), { kind: 'sslv2' }],
    ['another message of SSLv2', record(0x80, 0x2e, 4, 0, 2), bad(null)],
    ['8-bit bytes', Buffer.alloc(20, 0xff), bad(null)],
    ['the preface of HTTP/2 in clear', Buffer.from('PRI * HTTP/2.0\r\n'), { kind: 'plain-http' }],
    ['a request in clear', Buffer.from('GET / HTTP/1.1\r\n'), { kind: 'plain-http' }],
    ['SSH', Buffer.from('SSH-2.0-OpenSSH'), bad(null)],
    ['zero bytes', Buffer.alloc(20), bad(null)],
    ['an alert record', record(21, 3, 1, 0, 2, 2, 0), bad(null)],
    ['another message', record(22, 3, 1, 0, 4, 2, 0, 0, 9), bad(tlsAlert.unexpectedMessage)],
    ['an empty record', record(22, 3, 1, 0, 0), bad(tlsAlert.unexpectedMessage)],
    ['a record too long', record(22, 3, 1, 0x40, 1), bad(tlsAlert.recordOverflow)],
    ['an unknown version of records', record(22, 9, 1, 0, 1), bad(tlsAlert.protocolVersion)],
    ['a message too long', record(22, 3, 1, 0, 4, 1, 0, 0x40, 1), bad(tlsAlert.decodeError)],
    ['a body cut short', record(22, 3, 1, 0, 6, 1, 0, 0, 2, 3, 3), bad(tlsAlert.decodeError)],
    ['a change of type in between', record(22, 3, 1, 0, 1, 1, 23, 3, 1, 0, 1), bad(tlsAlert.unexpectedMessage)],
  ])('%s', (_name, bytes, result) => {
    expect(parseClientHello(bytes)).toEqual(result)
  })

  test('two server names, an empty one, another type of name', () => {
    const name = serverNameExtension(Buffer.from('a.example'))
    expect(parseClientHello(helloWith([name, name]))).toEqual(bad(tlsAlert.illegalParameter))
    expect(parseClientHello(helloWith([serverNameExtension(Buffer.alloc(0))]))).toEqual(bad(tlsAlert.decodeError))
    expect(parseClientHello(helloWith([serverNameExtension(Buffer.from('a'), 1)]))).toEqual(bad(tlsAlert.decodeError))
    expect(parseClientHello(helloWith([name.subarray(0, -1)]))).toEqual(bad(tlsAlert.decodeError))
  })

  test('a name with any bytes is handed on as it is', () => {
    const odd = Buffer.from([0x61, 0, 0xff, 0x2e, 0x20])
    expect(parseClientHello(helloWith([serverNameExtension(odd)]))).toMatchObject({
      hello: { serverName: odd.toString('latin1') },
    })
  })
})

describe('properties', () => {
  const known = (bytes: Uint8Array): void => {
    const peeked = parseClientHello(bytes)
    expect(['need-more', 'hello', 'sslv2', 'plain-http', 'bad']).toContain(peeked.kind)
    if (peeked.kind === 'need-more') {
      expect(peeked.atLeast).toBeGreaterThan(bytes.length)
      expect(peeked.atLeast).toBeLessThanOrEqual(bytes.length + MAX_PEEK_BYTES)
    }
  }

  test('any change of a few bytes is judged, never thrown', () => {
    const change = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }))
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), fc.nat(), (changes, cut) => {
        const mutated = Buffer.from(hello)
        for (const [at, byte] of changes) mutated[at % mutated.length] = byte
        known(mutated)
        known(mutated.subarray(0, cut % (mutated.length + 1)))
      }),
      { numRuns: 5_000 },
    )
  })

  test('any bytes behind a record head are judged, never thrown', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        known(bytes)
        known(Buffer.concat([Buffer.of(22, 3, 1, 1, 44, 1, 0, 1, 0x20), bytes]))
        known(helloWith([Buffer.from(bytes)]))
      }),
      { numRuns: 3_000 },
    )
  })

  test('a hundred thousand seeded mutations are judged, never thrown', () => {
    const random = seededRandom(20_261_125)
    const kinds = new Set<string>()
    for (let run = 0; run < 100_000; run += 1) kinds.add(parseClientHello(mutate(hello, random)).kind)
    expect([...kinds].sort()).toEqual(['bad', 'hello', 'need-more'])
  })

  test('an answer is reached before the peek would keep too much', () => {
    const endless = inRecords(
      Buffer.concat([Buffer.alloc(5), Buffer.of(1, 0, 0x7f, 0xff), Buffer.alloc(60_000)]),
      16_384,
    )
    expect(parseClientHello(endless.subarray(0, MAX_PEEK_BYTES)).kind).not.toBe('need-more')
    expect(parseClientHello(inRecords(endless, 1).subarray(0, MAX_PEEK_BYTES)).kind).not.toBe('need-more')
  })
})
