import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { normalizeName, unicodeName } from '../../contract/names.ts'
import { AppError } from '../errors.ts'
import { claimableName, registrableDomain } from './name-rules.ts'

const reserved = ['panel.host.example']

function codeOf(text: string): string {
  try {
    return claimableName(text, reserved).name
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    expect(error.detail.length).toBeGreaterThan(20)
    expect(error.errors[0]?.field).toBe('name')
    return error.code
  }
}

test.each([
  ['WWW.Example.COM.', 'www.example.com', 'example.com'],
  ['*.Example.com', '*.example.com', 'example.com'],
  ['a.b.shop.co.uk', 'a.b.shop.co.uk', 'shop.co.uk'],
  ['bücher.example', 'xn--bcher-kva.example', 'xn--bcher-kva.example'],
  ['me.github.io', 'me.github.io', 'me.github.io'],
  ['www.me.github.io', 'www.me.github.io', 'me.github.io'],
  ['www.ck', 'www.ck', 'www.ck'],
  ['site.test', 'site.test', 'site.test'],
  ['例え.テスト', 'xn--r8jz45g.xn--zckzah', 'xn--r8jz45g.xn--zckzah'],
  ['other.host.example', 'other.host.example', 'host.example'],
])('%s is %s under %s', (text, name, registrable) => {
  expect(claimableName(text, reserved)).toMatchObject({ name, registrable })
})

describe('refused', () => {
  test.each([
    ['', 'NAME_INVALID'],
    ['   ', 'NAME_INVALID'],
    ['intranet', 'NAME_INVALID'],
    ['a_b.example.com', 'NAME_INVALID'],
    ['-a.example.com', 'NAME_INVALID'],
    ['a..example.com', 'NAME_INVALID'],
    ['http://example.com', 'NAME_INVALID'],
    ['example.com/path', 'NAME_INVALID'],
    ['example.com:443', 'NAME_INVALID'],
    ['exam ple.com', 'NAME_INVALID'],
    ['someone@example.com', 'NAME_INVALID'],
    [`${'a'.repeat(64)}.example.com`, 'NAME_TOO_LONG'],
    [`${'a.'.repeat(126)}example.com`, 'NAME_TOO_LONG'],
    [`${'a.'.repeat(15)}example.com`, 'NAME_TOO_LONG'],
    ['x'.repeat(1024), 'NAME_TOO_LONG'],
    ['192.0.2.1', 'NAME_IS_ADDRESS'],
    ['[2001:db8::1]', 'NAME_IS_ADDRESS'],
    ['2001:db8::1', 'NAME_IS_ADDRESS'],
    ['０x7f.1', 'NAME_IS_ADDRESS'],
    ['a.*.example.com', 'NAME_WILDCARD'],
    ['*.*.example.com', 'NAME_WILDCARD'],
    ['w*.example.com', 'NAME_WILDCARD'],
    ['com', 'NAME_PUBLIC_SUFFIX'],
    ['*.com', 'NAME_PUBLIC_SUFFIX'],
    ['co.uk', 'NAME_PUBLIC_SUFFIX'],
    ['*.co.uk', 'NAME_PUBLIC_SUFFIX'],
    ['github.io', 'NAME_PUBLIC_SUFFIX'],
    ['*.github.io', 'NAME_PUBLIC_SUFFIX'],
    ['公司.cn', 'NAME_PUBLIC_SUFFIX'],
    ['anything.ck', 'NAME_PUBLIC_SUFFIX'],
    ['localhost', 'NAME_RESERVED'],
    ['a.localhost', 'NAME_RESERVED'],
    ['printer.local', 'NAME_RESERVED'],
    ['x.internal', 'NAME_RESERVED'],
    ['x.invalid', 'NAME_RESERVED'],
    ['x.onion', 'NAME_RESERVED'],
    ['x.alt', 'NAME_RESERVED'],
    ['home.arpa', 'NAME_RESERVED'],
    ['1.2.0.192.in-addr.arpa.', 'NAME_RESERVED'],
    ['Panel.Host.Example', 'NAME_RESERVED'],
    ['*.panel.host.example', 'NAME_RESERVED'],
    ['x.panel.host.example', 'NAME_RESERVED'],
  ])('"%s" as %s', (text, code) => expect(codeOf(text)).toBe(code))
})

test('whatever is written, the answer is a stored name below its registrable domain or a code', () => {
  const label = fc.oneof(
    fc.constantFrom('www', 'a', '*', 'bücher', 'xn--bcher-kva', '-', '', 'com', 'co', 'uk', 'github', 'io'),
    fc.string({ maxLength: 8 }),
  )
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.array(label, { maxLength: 6 }).map((labels) => labels.join('.')),
  )
  fc.assert(
    fc.property(text, (written) => {
      let claim: ReturnType<typeof claimableName>
      try {
        claim = claimableName(written, reserved)
      } catch (error) {
        expect(error).toBeInstanceOf(AppError)
        return
      }
      expect(claim.name).toMatch(/^(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)+$/)
      expect(claim.base === claim.registrable || claim.base.endsWith(`.${claim.registrable}`)).toBe(true)
      expect(registrableDomain(claim.registrable)).toBe(claim.registrable)
      expect(normalizeName(claim.name, { wildcard: true })).toEqual({ ok: true, name: claim.name })
      expect(claimableName(unicodeName(claim.name), reserved).name).toBe(claim.name)
    }),
    { numRuns: 2_000 },
  )
})
