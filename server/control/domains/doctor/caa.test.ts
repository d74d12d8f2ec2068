import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { caaRemedy, caaText, judgeCaa, relevantSet } from './caa.ts'
import type { CaaLookup, CaaRecord, DoctorIssuer } from './observation.ts'

const account = 'https://ca.example/acme/acct/7'
const issuer: DoctorIssuer = {
  id: 'le',
  name: "Let's Encrypt",
  caaIdentities: ['letsencrypt.org'],
  accountUrl: account,
  methods: ['http-01', 'tls-alpn-01'],
}
const record = (tag: string, value: string, flags = 0): CaaRecord => ({ owner: 'shop.test', flags, tag, value })

describe('one set', () => {
  const le = 'letsencrypt.org'
  test.each<[string, CaaRecord[], boolean, string]>([
    ['an issuer that is named', [record('issue', le)], false, 'http-01 tls-alpn-01'],
    ['case and white space', [record('ISSUE', ' \tLetsEncrypt.ORG ')], false, 'http-01 tls-alpn-01'],
    ['a semicolon at the end', [record('issue', 'letsencrypt.org;')], false, 'http-01 tls-alpn-01'],
    ['another issuer', [record('issue', 'other.example')], false, 'issuer'],
    ['nobody', [record('issue', ';')], false, 'issuer'],
    ['an empty value', [record('issue', '')], false, 'issuer'],
    ['nobody and us', [record('issue', ';'), record('issue', le)], false, 'http-01 tls-alpn-01'],
    ['a name that only begins like ours', [record('issue', 'letsencrypt.org.evil.example')], false, 'issuer'],
    ['reports alone', [record('iodef', 'mailto:x@shop.test')], false, 'http-01 tls-alpn-01'],
    ['mail alone', [record('issuemail', ';', 128)], false, 'http-01 tls-alpn-01'],
    ['issuewild says nothing of a plain name', [record('issuewild', ';')], false, 'http-01 tls-alpn-01'],
    ['issuewild decides a wildcard', [record('issue', le), record('issuewild', ';')], true, 'issuer'],
    ['issuewild permits a wildcard', [record('issue', ';'), record('issuewild', le)], true, 'http-01 tls-alpn-01'],
    ['a wildcard by issue', [record('issue', le)], true, 'http-01 tls-alpn-01'],
    ['our account', [record('issue', `${le}; accounturi=${account}`)], false, 'http-01 tls-alpn-01'],
    ['another account', [record('issue', `${le}; accounturi=${account}1`)], false, 'account'],
    ['two accounts', [record('issue', `${le}; accounturi=${account}; accounturi=${account}`)], false, 'account'],
    ['one of our methods', [record('issue', `${le}; validationmethods=dns-01,http-01`)], false, 'http-01'],
    ['none of our methods', [record('issue', `${le}; validationmethods=dns-01`)], false, 'method'],
    [
      'methods of two records',
      [record('issue', `${le}; validationmethods=http-01`), record('issue', `${le}; validationmethods=tls-alpn-01`)],
      false,
      'http-01 tls-alpn-01',
    ],
    ['unknown parameters', [record('issue', `${le}; colour=blue; a=`)], false, 'http-01 tls-alpn-01'],
    ['a malformed parameter', [record('issue', `${le}; nonsense`)], false, 'issuer'],
    ['a malformed domain', [record('issue', 'lets encrypt.org')], false, 'issuer'],
    ['an unknown tag', [record('tbs', 'x'), record('issue', le)], false, 'http-01 tls-alpn-01'],
    ['an unknown critical tag', [record('tbs', 'x', 128), record('issue', le)], false, 'critical'],
    ['a known critical tag', [record('issue', le, 128)], false, 'http-01 tls-alpn-01'],
  ])('%s', (_, records, isWildcard, expected) => {
    const verdict = judgeCaa(records, issuer, isWildcard)
    expect(verdict.isPermitted ? verdict.methods.join(' ') : verdict.because).toBe(expected)
  })

  test('an issuer whose names are not known is not judged, but for critical tags', () => {
    const silent = { ...issuer, caaIdentities: null }
    expect(judgeCaa([record('issue', ';')], silent, false).isPermitted).toBe(true)
    expect(judgeCaa([record('tbs', '', 128)], silent, false).isPermitted).toBe(false)
  })

  test('what to write is said as a zone file has it', () => {
    const [change] = caaRemedy([record('issue', 'other.example')], issuer, false)
    expect(change?.add && caaText(change.add)).toBe('shop.test. CAA 0 issue "letsencrypt.org"')
    const bound = record('issue', 'letsencrypt.org; accounturi=https://x.example/1; validationmethods=dns-01; k=v')
    const [fitted] = caaRemedy([bound], issuer, false)
    expect(fitted?.remove).toBe(bound)
    expect(fitted?.add?.value).toBe(
      `letsencrypt.org; accounturi=${account}; validationmethods=dns-01,http-01,tls-alpn-01; k=v`,
    )
    expect(caaText(record('issue', 'a"\\\u0007'))).toBe('shop.test. CAA 0 issue "a\\"\\\\?"')
  })
})

const tags = fc.oneof(fc.constantFrom('issue', 'issuewild', 'iodef', 'ISSUE', 'issuemail', 'tbs'), fc.string())
const domains = fc.constantFrom('letsencrypt.org', 'other.example', '', ' LetsEncrypt.org ')
const parameters = fc.array(
  fc.constantFrom(
    `accounturi=${account}`,
    'accounturi=https://other.example/1',
    'validationmethods=http-01',
    'validationmethods=dns-01',
    'validationmethods=',
    'x=y',
    'broken',
    '',
  ),
  { maxLength: 3 },
)
const values = fc.oneof(
  fc.tuple(domains, parameters).map(([domain, some]) => [domain, ...some].join(';')),
  fc.string(),
)
const records = fc.array(
  fc.record({ owner: fc.constant('shop.test'), flags: fc.constantFrom(0, 128, 1), tag: tags, value: values }),
  { maxLength: 5 },
)
const results: fc.Arbitrary<CaaLookup['result']> = fc.oneof(
  records.map((some) => ({ kind: 'found' as const, records: some })),
  fc.constant({ kind: 'absent' as const }),
  fc.constant({ kind: 'unanswered' as const, reason: 'SERVFAIL' }),
)
const tree = fc.array(results, { minLength: 1, maxLength: 6 }).map((some) =>
  some.map((result, index) => ({
    name: ['a.b.c.d.shop.test', 'b.c.d.shop.test', 'c.d.shop.test', 'd.shop.test', 'shop.test', 'test'][index] ?? '',
    result,
  })),
)

describe('the tree (property)', () => {
  test('the closest set wins: what is above it changes nothing', () => {
    fc.assert(
      fc.property(tree, tree, (lower, upper) => {
        const set = relevantSet(lower)
        fc.pre(set.kind !== 'none')
        expect(relevantSet([...lower, ...upper])).toEqual(set)
      }),
    )
  })

  test('empty places below change nothing, a failure below decides', () => {
    fc.assert(
      fc.property(tree, fc.boolean(), (upper, isEmptySet) => {
        const empty: CaaLookup = { name: 'x', result: isEmptySet ? { kind: 'found', records: [] } : { kind: 'absent' } }
        expect(relevantSet([empty, ...upper])).toEqual(relevantSet(upper))
        const failed: CaaLookup = { name: 'x', result: { kind: 'unanswered', reason: 'none' } }
        expect(relevantSet([failed, ...upper]).kind).toBe('unanswered')
      }),
    )
  })
})

describe('a set (property)', () => {
  test('the order of records does not matter', () => {
    fc.assert(
      fc.property(records, fc.boolean(), (some, isWildcard) => {
        const forward = judgeCaa(some, issuer, isWildcard)
        const backward = judgeCaa([...some].reverse(), issuer, isWildcard)
        expect(backward.isPermitted).toBe(forward.isPermitted)
        if (forward.isPermitted && backward.isPermitted) expect(backward.methods).toEqual(forward.methods)
      }),
    )
  })

  test('after the remedy the issuer is permitted, and nothing else was touched', () => {
    fc.assert(
      fc.property(records, fc.boolean(), fc.constantFrom(account, null), (some, isWildcard, accountUrl) => {
        const ours = { ...issuer, accountUrl }
        const changes = caaRemedy(some, ours, isWildcard)
        const removed = changes.flatMap(({ remove }) => remove ?? [])
        const after = [...some.filter((one) => !removed.includes(one)), ...changes.flatMap(({ add }) => add ?? [])]
        expect(judgeCaa(after, ours, isWildcard).isPermitted).toBe(true)
        if (judgeCaa(some, ours, isWildcard).isPermitted) expect(changes).toEqual([])
        for (const one of removed) expect(some).toContain(one)
      }),
      { numRuns: 1_000 },
    )
  })

  test('records of other CAs alone never permit us, and one of ours makes no other CA lose', () => {
    fc.assert(
      fc.property(records, fc.boolean(), (some, isWildcard) => {
        const others = some.filter(({ value }) => !/letsencrypt/i.test(value))
        const isDeciding = others.some(({ tag }) => tag.toLowerCase() === 'issue')
        fc.pre(isDeciding)
        expect(judgeCaa(others, issuer, isWildcard).isPermitted).toBe(false)
        const other = { ...issuer, caaIdentities: ['other.example'] }
        const before = judgeCaa(others, other, false)
        const after = judgeCaa([...others, record('issue', 'letsencrypt.org')], other, false)
        expect(after.isPermitted).toBe(before.isPermitted)
      }),
    )
  })

  test('issuewild counts for wildcards alone', () => {
    fc.assert(
      fc.property(records, (some) => {
        const plain = some.filter(({ tag }) => tag.toLowerCase() !== 'issuewild')
        expect(judgeCaa(some, issuer, false)).toEqual(judgeCaa(plain, issuer, false))
        expect(judgeCaa(plain, issuer, true)).toEqual(judgeCaa(plain, issuer, false))
      }),
    )
  })
})
