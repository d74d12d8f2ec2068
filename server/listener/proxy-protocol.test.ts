import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { proxyV2 } from '../test/proxy-header.ts'
import { parseProxyHeader } from './proxy-protocol.ts'

const v1 = (line: string): Buffer => Buffer.from(`${line}\r\n`)

describe('a PROXY header', () => {
  const headers: [string, Buffer, { remoteAddress: string; localAddress: string } | null][] = [
    [
      'of version 1, IPv4',
      v1('PROXY TCP4 192.0.2.7 198.51.100.1 4711 443'),
      { remoteAddress: '192.0.2.7', localAddress: '198.51.100.1' },
    ],
    [
      'of version 1, IPv6',
      v1('PROXY TCP6 2001:DB8:0::7 2001:db8::1 4711 443'),
      { remoteAddress: '2001:db8::7', localAddress: '2001:db8::1' },
    ],
    ['of version 1, unknown', v1('PROXY UNKNOWN ffff::1 ffff::2 1 2'), null],
    [
      'of version 2, IPv4',
      proxyV2('192.0.2.7', '198.51.100.1'),
      { remoteAddress: '192.0.2.7', localAddress: '198.51.100.1' },
    ],
    [
      'of version 2, IPv4, with more fields',
      proxyV2('192.0.2.7', '198.51.100.1', { rest: Buffer.alloc(500) }),
      { remoteAddress: '192.0.2.7', localAddress: '198.51.100.1' },
    ],
    [
      'of version 2, IPv6',
      proxyV2('2001:db8::7', '2001:db8::1'),
      { remoteAddress: '2001:db8::7', localAddress: '2001:db8::1' },
    ],
    [
      'of version 2, IPv4 as IPv6',
      proxyV2('::ffff:192.0.2.7', '2001:db8::1'),
      { remoteAddress: '192.0.2.7', localAddress: '2001:db8::1' },
    ],
    ['of version 2, for itself', proxyV2('192.0.2.7', '198.51.100.1', { command: 0 }), null],
  ]

  test.each(headers)('%s is read, in pieces and with what follows', (_, header, announced) => {
    const whole = { kind: 'header', length: header.length, announced }
    expect(parseProxyHeader(Buffer.concat([header, Buffer.from('\x16\x03\x01')]))).toEqual(whole)
    expect(parseProxyHeader(header)).toEqual(whole)
    for (let length = 0; length < header.length; length += 1) {
      const part = parseProxyHeader(header.subarray(0, length))
      expect(part.kind).toBe('need-more')
      if (part.kind === 'need-more') expect(part.atLeast).toBeLessThanOrEqual(header.length)
    }
  })

  test.each([
    ['a hello', Buffer.of(22, 3, 1, 0, 5)],
    ['a request', Buffer.from('GET / HTTP/1.1\r\n')],
    ['another protocol', v1('PROXY UDP4 192.0.2.7 198.51.100.1 1 2')],
    ['a wrong address', v1('PROXY TCP4 192.0.2.777 198.51.100.1 1 2')],
    ['an address of the other family', v1('PROXY TCP4 2001:db8::1 198.51.100.1 1 2')],
    ['a wrong port', v1('PROXY TCP4 192.0.2.7 198.51.100.1 1 65536')],
    ['too many words', v1('PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3')],
    ['an endless line', Buffer.from(`PROXY UNKNOWN ${'x'.repeat(200)}`)],
    ['a version that is none', proxyV2('192.0.2.7', '198.51.100.1', { version: 3 })],
    ['a command that is none', proxyV2('192.0.2.7', '198.51.100.1', { command: 2 })],
    ['UDP', proxyV2('192.0.2.7', '198.51.100.1', { protocol: 2 })],
    ['an endless header', proxyV2('192.0.2.7', '198.51.100.1', { rest: Buffer.alloc(3_000) })],
  ])('%s is none', (_, bytes) => {
    expect(parseProxyHeader(bytes)).toEqual({ kind: 'bad' })
  })

  test('any bytes behind a good beginning are judged, never thrown', () => {
    const signature = proxyV2('192.0.2.7', '198.51.100.1').subarray(0, 12)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        for (const head of [signature, Buffer.from('PROXY '), Buffer.from('PROXY TCP6 ')]) {
          const read = parseProxyHeader(Buffer.concat([head, bytes]))
          if (read.kind === 'need-more') expect(read.atLeast).toBeGreaterThan(head.length + bytes.length)
        }
      }),
      { numRuns: 5_000 },
    )
  })
})
