import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Encoding } from '../../contract/manifest.ts'
import { chooseEncoding } from './accept-encoding.ts'
import { preconditionStatus, rangeApplies } from './conditional.ts'
import { parseRanges } from './range.ts'
import { redirectLocation } from './redirect.ts'
import { decodePath, parseTarget } from './target.ts'

describe('parseRanges', () => {
  test.each([
    ['bytes=0-0', [{ first: 0, last: 0 }]],
    ['bytes=2-', [{ first: 2, last: 9 }]],
    ['bytes=2-100', [{ first: 2, last: 9 }]],
    ['bytes=-3', [{ first: 7, last: 9 }]],
    ['bytes=-30', [{ first: 0, last: 9 }]],
    ['BYTES= 1-2 ', [{ first: 1, last: 2 }]],
    [
      'bytes=4-5, 0-1',
      [
        { first: 4, last: 5 },
        { first: 0, last: 1 },
      ],
    ],
    ['bytes=0-1,20-30', [{ first: 0, last: 1 }]],
    ['bytes=10-', 'unsatisfiable'],
    ['bytes=10-,20-', 'unsatisfiable'],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=5-4', null],
    ['bytes=-', null],
    ['bytes=a-b', null],
    ['bytes=0-5,4-8', null],
    ['bytes=0-,0-,0-', null],
    [`bytes=${Array.from({ length: 9 }, (_, at) => `${at}-${at}`)}`, null],
    ['items=0-1', null],
    [undefined, null],
  ])('%s of 10 bytes is %j', (field, ranges) => expect(parseRanges(field, 10)).toEqual(ranges))

  test('an empty file has no satisfiable range', () => {
    expect(parseRanges('bytes=0-', 0)).toBe('unsatisfiable')
    expect(parseRanges('bytes=-1', 0)).toBe('unsatisfiable')
  })

  test('ranges never leave the file, nor overlap', () => {
    fc.assert(
      fc.property(fc.string(), fc.nat(), fc.nat(), fc.nat(1_000), (junk, from, to, bytes) => {
        for (const field of [
          junk,
          `bytes=${from}-${to}`,
          `bytes=${from}-,-${to}`,
          `bytes=-${to}`,
          `bytes=0-1,${to}-`,
        ]) {
          const ranges = parseRanges(field, bytes)
          if (ranges === null || ranges === 'unsatisfiable') continue
          let seen = 0
          for (const { first, last } of ranges) {
            expect(first).toBeGreaterThanOrEqual(0)
            expect(last).toBeGreaterThanOrEqual(first)
            expect(last).toBeLessThan(bytes)
            seen += last - first + 1
          }
          expect(seen).toBeLessThanOrEqual(bytes)
        }
      }),
    )
  })
})

describe('chooseEncoding', () => {
  const both = (): boolean => true
  test.each<[string | undefined, Encoding | null]>([
    [undefined, null],
    ['', null],
    ['gzip, deflate, br, zstd', 'br'],
    ['GZIP', 'gzip'],
    ['x-gzip', 'gzip'],
    ['br;q=0.1', 'br'],
    ['br;q=0.5, gzip;q=0.6', 'gzip'],
    ['identity;q=1, br;q=0.5', null],
    ['identity;q=0.5, br;q=0.5', 'br'],
    ['*;q=0.3', 'br'],
    ['*, br;q=0', 'zstd'],
    ['*;q=0', null],
    ['br;q=2', null],
    ['br;q=x', null],
    ['zstd', 'zstd'],
    ['deflate', null],
  ])('%s means %s', (field, encoding) => expect(chooseEncoding(field, both)).toBe(encoding))

  test('what is not there is not chosen', () => {
    expect(chooseEncoding('br, gzip', (encoding) => encoding === 'gzip')).toBe('gzip')
    expect(chooseEncoding('br, gzip', () => false)).toBeNull()
  })
})

describe('conditions', () => {
  const validators = { etag: '"a"', lastModified: 'Sun, 01 Mar 2026 12:00:00 GMT' }
  const earlier = 'Sun, 01 Mar 2026 11:00:00 GMT'
  const later = 'Sun, 01 Mar 2026 13:00:00 GMT'
  test.each([
    [{}, null],
    [{ 'if-none-match': '"a"' }, 304],
    [{ 'if-none-match': 'W/"a"' }, 304],
    [{ 'if-none-match': '"b", "a"' }, 304],
    [{ 'if-none-match': '*' }, 304],
    [{ 'if-none-match': '"b"' }, null],
    [{ 'if-none-match': '"b"', 'if-modified-since': validators.lastModified }, null],
    [{ 'if-modified-since': validators.lastModified }, 304],
    [{ 'if-modified-since': earlier }, null],
    // The visitor holds a newer release that was rolled back.
    [{ 'if-modified-since': later }, null],
    [{ 'if-match': '"a"' }, null],
    [{ 'if-match': '*' }, null],
    [{ 'if-match': 'W/"a"' }, 412],
    [{ 'if-match': '"b"', 'if-none-match': '"a"' }, 412],
    [{ 'if-unmodified-since': earlier }, 412],
    [{ 'if-unmodified-since': later }, null],
    [{ 'if-unmodified-since': 'no date' }, null],
    [{ 'if-match': '"a"', 'if-unmodified-since': earlier }, null],
  ])('%j is %s', (headers, status) => expect(preconditionStatus(headers, validators)).toBe(status))

  test.each([
    [{}, true],
    [{ 'if-range': '"a"' }, true],
    [{ 'if-range': 'W/"a"' }, false],
    [{ 'if-range': '"b"' }, false],
    [{ 'if-range': validators.lastModified }, true],
    [{ 'if-range': later }, false],
  ])('a range with %j counts: %s', (headers, applies) => expect(rangeApplies(headers, validators)).toBe(applies))
})

describe('parseTarget', () => {
  test.each([
    ['/', { path: '/', query: '', authority: null }],
    ['/a?b?c', { path: '/a', query: '?b?c', authority: null }],
    ['//a', { path: '//a', query: '', authority: null }],
    ['https://h', { path: '/', query: '', authority: 'h' }],
    ['HTTP://h:1?x', { path: '/', query: '?x', authority: 'h:1' }],
    ['http://h/a?x', { path: '/a', query: '?x', authority: 'h' }],
    ['*', null],
    ['', null],
    ['a', null],
    ['?x', null],
    ['ftp://h/', null],
    ['/a#b', null],
    ['/a b', null],
    ['/ä', null],
    ['/a\r\nb', null],
  ])('%j is %j', (text, target) => expect(parseTarget(text)).toEqual(target))

  test('a path always begins with a slash and holds no control bytes, whatever comes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        for (const target of [parseTarget(text), parseTarget(`/${text}`), parseTarget(`https://${text}`)])
          if (target !== null) expect(target.path + target.query).toMatch(/^\/[\x21-\x7e]*$/)
      }),
    )
  })

  test('decoding happens once and never throws', () => {
    expect(decodePath('/%252e')).toBe('/%2e')
    expect(decodePath('/e%CC%81')).toBe('/é')
    fc.assert(fc.property(fc.string(), (text) => void decodePath(`/%${text}`)))
  })
})

test.each([
  ['https://t/', '/a/b', '?c', 'https://t/a/b?c'],
  ['https://t/x/', '//evil.example', '', 'https://t/x//evil.example'],
  ['https://t/x', '/a/b', '?c', 'https://t/x'],
])('a redirect to %s from %s%s leads to %s', (redirectTo, path, query, location) =>
  expect(redirectLocation(redirectTo, { path, query, authority: null })).toBe(location),
)
