import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isProtected } from './protected-paths.ts'
import { decodePath } from './target.ts'

/** As the request sends it. */
const protects = (patterns: readonly string[], sent: string): boolean => {
  const path = decodePath(sent)
  if (path === null) throw new Error('no valid encoding')
  return isProtected(patterns, path)
}

describe('a path is protected in every reading of it', () => {
  test.each([
    '/secret',
    '/secrets/a',
    '/%73ecret',
    '//secret',
    '/x/../secret',
    '/x/%2e%2e/secret',
    '/x/..%2fsecret',
    '/x%5c..%5csecret',
    '/x%3F/../secret',
    '/x%23/../secret',
    '/x%3Fy%23/..//secret',
    '/public/..;/secret',
    '/public/..;a=b/secret',
    '/public;x/..%3Fa/../../secret',
    '/.;/secret',
    '/secret%3Fx',
  ])('/secret*: %s', (sent) => expect(protects(['/secret*'], sent)).toBe(true))

  test.each(['/', '/public', '/x/secret', '/secre', '/x/..;/public', '/x%3F/secret', '/s%3Fecret'])(
    'and nothing else is: %s',
    (sent) => expect(protects(['/secret*'], sent)).toBe(false),
  )

  test('a folder is protected with what is in it, with and without its slash', () => {
    for (const sent of ['/secret', '/secret/', '/secret/a', '/x/../secret', '/secret;a']) {
      expect([sent, protects(['/secret/*'], sent)]).toEqual([sent, true])
    }
    expect(protects(['/secret/*'], '/secrets')).toBe(false)
    for (const sent of ['/secret', '/secret/', '/secret/index.html', '/x/..//secret/a']) {
      expect([sent, protects(['/secret'], sent), protects(['/secret/'], sent)]).toEqual([sent, true, true])
    }
    expect(protects(['/secret'], '/secrets')).toBe(false)
  })

  test('who keeps empty segments reads another path than who does not', () => {
    expect(protects(['/a/secret*'], '/a//../secret')).toBe(true)
    expect(protects(['/secret*'], '/a//../secret')).toBe(true)
  })

  test('a question mark that belongs to a pattern is found behind dots as well', () => {
    expect(protects(['/a?b'], '/x/../a%3Fb')).toBe(true)
  })

  test('no path is too strange', () => {
    const unit = fc.constantFrom(...'/\\.;:?#%25 @é\0\u{10ffff}\ufffe')
    fc.assert(
      fc.property(fc.string({ unit }), (text) => {
        expect(isProtected(['/*'], `/${text}`)).toBe(true)
      }),
    )
  })
})
