import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseAnswer } from './splice-answer.ts'
import { createChunkScanner } from './splice-chunks.ts'

const keptOf = (text: string, kept: readonly number[]): string => {
  let out = ''
  for (let at = 0; at < kept.length; at += 2) out += text.slice(kept[at], kept[at + 1])
  return out
}

describe('the head of an answer', () => {
  const parse = (text: string, isHead = false) => {
    const head = parseAnswer(Buffer.from(text, 'latin1'), isHead)
    return head === null || head === 'more' ? head : { ...head, kept: keptOf(text, head.kept) }
  }
  const ok = 'HTTP/1.1 200 OK\r\n'

  test('is passed on without what stays between neighbours', () => {
    const text = `${ok}Connection: keep-alive, X-Hop\r\nServer: n\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nDate: d\r\nA:\r\nContent-Length: 5\r\nUpgrade: h2c\r\n\r\nhello`
    expect(parse(text)).toEqual({
      status: 200,
      end: text.length - 5,
      framing: 5,
      keepsAlive: true,
      hasDate: true,
      kept: `${ok}Server: n\r\nDate: d\r\nA:\r\nContent-Length: 5\r\n`,
    })
  })

  test.each<[string, string, boolean, unknown, boolean]>([
    ['chunks', 'Transfer-Encoding: Chunked\r\n', false, 'chunked', true],
    ['nothing said', '', false, 'until-close', false],
    ['close', 'Connection: close\r\nContent-Length: 0\r\n', false, 0, false],
    ['to HEAD', 'Content-Length: 5\r\n', true, 'none', true],
    ['to HEAD, in chunks', 'Transfer-Encoding: chunked\r\n', true, 'none', true],
  ])('framing: %s', (_, fields, isHead, framing, keepsAlive) => {
    expect(parse(`${ok}${fields}\r\n`, isHead)).toMatchObject({ framing, keepsAlive })
  })

  test.each([
    ['HTTP/1.1 204 No Content\r\n\r\n', 'none', true],
    ['HTTP/1.1 304\r\nContent-Length: 9\r\n\r\n', 'none', true],
    ['HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n', 'none', true],
    ['HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n', 1, false],
    ['HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n', 1, true],
  ])('%j', (text, framing, keepsAlive) => expect(parse(text)).toMatchObject({ framing, keepsAlive }))

  test.each([
    'HTTP/1.1 200 OK\nA: 1\n\n',
    'HTTP/1.1 200 OK\r\nA: 1\n\r\n',
    'HTTP/1.1 200 OK\r\nA: 1\r\r\n',
    'HTTP/1.1 200 OK\r\nA : 1\r\n\r\n',
    'HTTP/1.1 200 OK\r\nA\r\n\r\n',
    'HTTP/1.1 200 OK\r\n: 1\r\n\r\n',
    'HTTP/1.1 200 OK\r\nA: 1\r\n b\r\n\r\n',
    'HTTP/1.1 200 OK\r\nA: \0\r\n\r\n',
    'HTTP/1.1 200 OK\r\nÄ: 1\r\n\r\n',
    'HTTP/1.1 200 O\0K\r\n\r\n',
    'HTTP/1.1 2000 OK\r\n\r\n',
    'HTTP/1.1 099 OK\r\n\r\n',
    'HTTP/1.1  200 OK\r\n\r\n',
    'HTTP/2.0 200 OK\r\n\r\n',
    'http/1.1 200 OK\r\n\r\n',
    ' HTTP/1.1 200 OK\r\n\r\n',
    `${ok}Content-Length: 1\r\nContent-Length: 1\r\n\r\n`,
    `${ok}Content-Length: 1, 1\r\n\r\n`,
    `${ok}Content-Length: +1\r\n\r\n`,
    `${ok}Content-Length: -1\r\n\r\n`,
    `${ok}Content-Length: 0x1\r\n\r\n`,
    `${ok}Content-Length:\r\n\r\n`,
    `${ok}Content-Length: 1234567890123456\r\n\r\n`,
    `${ok}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`,
    `${ok}Transfer-Encoding: gzip, chunked\r\n\r\n`,
    `${ok}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`,
    `${ok}Transfer-Encoding: identity\r\n\r\n`,
    `${ok}Transfer-Encoding:\x0bchunked\r\n\r\n`,
    'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
    `${ok}${'A: 1\r\n'.repeat(300)}\r\n`,
  ])('%j is none', (text) => expect(parse(text)).toBeNull())

  test('any beginning of a head is one that goes on, and nothing else is', () => {
    const text = `${ok}Content-Length: 0\r\nConnection: keep-alive\r\nX: y\r\n\r\n`
    for (let length = 0; length < text.length; length += 1) expect(parse(text.slice(0, length))).toBe('more')
    for (const bad of ['SSH-2', 'HTTP/2', 'HTTP/1.1 0', 'HTTP/1.1\r', `${ok}\n`, `${ok}A B`]) {
      const whole = `${bad}${' '.repeat(20)}`
      expect([whole, parse(whole)]).toEqual([whole, null])
    }
  })

  test('a name that Connection means, wherever it stands, is found; what the answer itself needs stays', () => {
    const head = parse(`${ok}X-A: 1\r\nContent-Length: 0\r\nConnection: Content-Length, X-A,date\r\nDate: d\r\n\r\n`)
    expect(head).toMatchObject({ kept: `${ok}Content-Length: 0\r\nDate: d\r\n`, framing: 0, hasDate: true })
  })
})

describe('chunks', () => {
  const scan = (text: string, cuts: readonly number[] = []) => {
    const scanner = createChunkScanner()
    const bounds = [0, ...[...cuts].sort((a, b) => a - b), text.length]
    let out = ''
    let used = 0
    let dataBytes = 0
    for (let piece = 1; piece < bounds.length && !scanner.isDone; piece += 1) {
      const part = text.slice(bounds[piece - 1], bounds[piece])
      const end = scanner.scan(Buffer.from(part, 'latin1'), 0)
      if (end < 0) return null
      out += keptOf(part, scanner.kept)
      used += end
      dataBytes += scanner.dataBytes
    }
    return { out, used, dataBytes, isDone: scanner.isDone }
  }

  test('the body is passed on, extensions and trailers are not', () => {
    const text = '5;a=b\r\nhello\r\n01 \r\n'
    expect(scan(text)).toBeNull()
    const good = '5;a="b;c"\r\nhello\r\nA\r\n0123456789\r\n000;x\r\nExpires: 0\r\nX: y\r\n\r\nmore'
    const out = '5\r\nhello\r\nA\r\n0123456789\r\n000\r\n\r\n'
    expect(scan(good)).toEqual({ out, used: good.length - 4, dataBytes: 15, isDone: true })
  })

  test.each(['', '5', '5\r', '5\r\nhell', '5\r\nhello', '5\r\nhello\r\n', '0\r\n', '0\r\n\r', '0\r\nA: b', '0;x'])(
    '%j goes on',
    (text) => expect(scan(text)).toMatchObject({ used: text.length, isDone: false }),
  )

  test.each([
    '\r\n',
    'g\r\n',
    '5\n',
    '-1\r\n',
    ' 5\r\n',
    '5 \r\n',
    '0x5\r\n',
    '5\r\nhello!',
    '5\r\nhello\n',
    '5\r\nhello\rX',
    '5;a\n\r\n',
    '5;\0\r\n',
    '5\rX',
    ';a\r\n',
    '1234567890123\r\n',
    '0\r\n\n',
    '0\r\n\rX',
    '0\r\n A: b\r\n',
    '0\r\nA: b\n',
    '0\r\nA: \0\r\n',
    `0;${'x'.repeat(20_000)}`,
    `0\r\n${'A: bbbbbb\r\n'.repeat(2_000)}`,
  ])('%j is no body', (text) => expect(scan(text)).toBeNull())

  test('where the bytes are cut makes no difference', () => {
    const chunk = fc.tuple(
      fc.string({ minLength: 1, maxLength: 40, unit: 'binary-ascii' }),
      fc.constantFrom('', ';e', ';a="b"'),
    )
    fc.assert(
      fc.property(
        fc.array(chunk),
        fc.constantFrom('', 'T: 1\r\n', 'T: 1\r\nU: 2\r\n'),
        fc.array(fc.nat(400)),
        (chunks, trailers, cuts) => {
          const line = (data: string, extension: string): string =>
            `${data.length.toString(16)}${extension}\r\n${data}\r\n`
          const text = `${chunks.map(([data, extension]) => line(data, extension)).join('')}0\r\n${trailers}\r\n`
          const out = `${chunks.map(([data]) => line(data, '')).join('')}0\r\n\r\n`
          const inside = cuts.filter((cut) => cut < text.length)
          const dataBytes = chunks.reduce((sum, [data]) => sum + data.length, 0)
          expect(scan(text, inside)).toEqual({ out, used: text.length, dataBytes, isDone: true })
        },
      ),
    )
  })
})
