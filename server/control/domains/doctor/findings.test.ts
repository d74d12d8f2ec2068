import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { findingCodes } from './finding.ts'
import { blockingFinding, judge } from './findings.ts'
import type { AddressLookup, CaaRecord, DoctorIssuer, Observation, PortProbe, Route } from './observation.ts'

const found = (...addresses: string[]): AddressLookup => ({ kind: 'found', addresses })
const absent: AddressLookup = { kind: 'absent' }
const unanswered: AddressLookup = { kind: 'unanswered', reason: 'no answer in time' }

const issuer: DoctorIssuer = {
  id: 'le',
  name: "Let's Encrypt",
  caaIdentities: ['letsencrypt.org'],
  accountUrl: 'https://ca.example/acct/1',
  methods: ['http-01', 'tls-alpn-01'],
}
const second: DoctorIssuer = { ...issuer, id: 'z', name: 'ZeroSSL', caaIdentities: ['sectigo.com'] }

const goodRoute: Route = {
  chain: ['www.shop.test'],
  end: 'addresses',
  v4: found('192.0.2.10'),
  v6: absent,
  views: [],
  zone: 'shop.test',
  unreachable: [],
  aliasDisagreement: null,
  isByResolver: false,
}
const good: Observation = {
  name: 'www.shop.test',
  host: 'www.shop.test',
  right: { addresses: ['192.0.2.10', '192.0.2.11', '2001:db8::10'], cnameTarget: 'edge.host.test' },
  route: goodRoute,
  caa: [],
  dnssec: { checked: 'answered', unchecked: 'answered', isAuthentic: false, isSigned: false, extendedError: null },
  probes: null,
  clockSkewMs: null,
}
const seen = (change: Partial<Observation>, route: Partial<Route> = {}): Observation => ({
  ...good,
  ...change,
  route: { ...goodRoute, ...route },
})
const probe = (family: 4 | 6, result: PortProbe['result'], cdn: string | null = null): PortProbe => ({
  family,
  address: family === 4 ? '198.51.100.1' : '2001:db8::99',
  result,
  cdn,
})
const caa = (...records: CaaRecord[]): Pick<Observation, 'caa'> => ({
  caa: [
    { name: 'www.shop.test', result: { kind: 'absent' } },
    { name: 'shop.test', result: { kind: 'found', records } },
  ],
})
const issue = (value: string, tag = 'issue', flags = 0): CaaRecord => ({ owner: 'shop.test', flags, tag, value })

/** `code status`, with `!` where it blocks the order, in order. */
function summary(observation: Observation, issuers = [issuer]): string[] {
  const judgement = judge(observation, issuers)
  const blocking = blockingFinding(judgement, observation.name, issuers)
  return judgement.findings.map((finding) => `${finding.code} ${finding.status}${finding === blocking ? ' !' : ''}`)
}
const only = (observation: Observation, code: string, issuers = [issuer]) =>
  judge(observation, issuers).findings.find((finding) => finding.code === code)

test.each(findingCodes)('%s is explained in docs/doctor.md, and has a title in the panel', (code) => {
  const read = (path: string) => readFileSync(new URL(`../../../../${path}`, import.meta.url), 'utf8')
  expect(read('docs/doctor.md')).toContain(`\n| \`${code}\` | `)
  expect(read('web/src/lib/hostnames/DiagnosisCard.svelte')).toContain(`\n  ${code}: '`)
})

test('all is well', () => {
  expect(summary(good)).toEqual(['DNSSEC ok', 'CAA ok', 'ADDRESS_V4 ok', 'ADDRESS_V6 ok', 'PORT_80 unknown'])
})

describe('addresses', () => {
  const other: PortProbe['result'] = { kind: 'other', status: 200, server: 'nginx' }
  test.each<[string, Observation, string[]]>([
    ['elsewhere', seen({}, { v4: found('198.51.100.1') }), ['ADDRESS_V4 problem !', 'ADDRESS_V6 ok']],
    [
      'both elsewhere',
      seen({}, { v4: found('198.51.100.1'), v6: found('2001:db8::99') }),
      ['ADDRESS_V4 problem !', 'STRAY_AAAA problem'],
    ],
    [
      'a stray AAAA, not tried: may still work by IPv4',
      seen({}, { v6: found('2001:db8::99') }),
      ['ADDRESS_V4 ok', 'STRAY_AAAA problem'],
    ],
    [
      'a stray AAAA where a server answers',
      seen({ probes: [probe(4, { kind: 'ours' }), probe(6, other)] }, { v6: found('2001:db8::99') }),
      ['ADDRESS_V4 ok', 'STRAY_AAAA problem !'],
    ],
    [
      'a stray AAAA where nothing answers: the CA goes on to IPv4',
      seen(
        { probes: [probe(4, { kind: 'ours' }), probe(6, { kind: 'unreachable', reason: 'x' })] },
        { v6: found('2001:db8::99') },
      ),
      ['ADDRESS_V4 ok', 'STRAY_AAAA problem'],
    ],
    [
      'IPv4 elsewhere, IPv6 right: the CA takes IPv6',
      seen({}, { v4: found('198.51.100.1'), v6: found('2001:DB8:0:0::10') }),
      ['ADDRESS_V4 problem', 'ADDRESS_V6 ok'],
    ],
    [
      'some ours, some not',
      seen({}, { v4: found('192.0.2.10', '198.51.100.1') }),
      ['ADDRESS_V4 problem', 'ADDRESS_V6 ok'],
    ],
    [
      'elsewhere, but passed on to us',
      seen({ probes: [probe(4, { kind: 'ours' })] }, { v4: found('198.51.100.1') }),
      ['ADDRESS_V4 warning', 'ADDRESS_V6 ok'],
    ],
    ['a CDN that was not tried', seen({}, { v4: found('104.16.1.1') }), ['ADDRESS_V4 warning', 'ADDRESS_V6 ok']],
    [
      'a CDN that answers by itself',
      seen(
        { probes: [probe(4, { kind: 'other', status: 522, server: 'cloudflare' }, 'Cloudflare')] },
        { v4: found('104.16.1.1') },
      ),
      ['ADDRESS_V4 problem !', 'ADDRESS_V6 ok'],
    ],
    ['no address', seen({}, { v4: absent }), ['NAME_MISSING problem !']],
    [
      'an alias that dangles',
      seen({}, { chain: ['www.shop.test', 'gone.test'], v4: absent }),
      ['CNAME_DANGLING problem !'],
    ],
    [
      'no A where we have IPv4',
      seen({}, { v4: absent, v6: found('2001:db8::10') }),
      ['ADDRESS_V4 problem', 'ADDRESS_V6 ok'],
    ],
    ['no answer', seen({}, { v4: unanswered, v6: unanswered }), ['ADDRESS_V4 unknown', 'ADDRESS_V6 unknown']],
    [
      'nothing set up here',
      seen({ right: { addresses: [], cnameTarget: null } }, { v4: found('198.51.100.1') }),
      ['ADDRESS_V4 unknown', 'ADDRESS_V6 unknown'],
    ],
    [
      'a wildcard is proven in DNS',
      seen({ name: '*.shop.test', host: 'nameplate-check.shop.test' }, { v4: found('198.51.100.1') }),
      ['ADDRESS_V4 problem', 'ADDRESS_V6 ok'],
    ],
    [
      'aliases in a circle',
      seen({}, { end: 'loop', v4: absent, chain: ['www.shop.test', 'a.test', 'www.shop.test'] }),
      ['CNAME_LOOP problem !'],
    ],
    ['too many aliases', seen({}, { end: 'too-long', v4: absent }), ['CNAME_TOO_LONG problem !']],
  ])('%s', (_, observation, expected) => {
    expect(summary(observation).filter((line) => /^(ADDRESS|STRAY|CNAME|NAME)/.test(line))).toEqual(expected)
  })

  test('a name that can be proven in DNS is not blocked by addresses', () => {
    const byDns = { ...issuer, methods: ['http-01', 'dns-01'] as const }
    expect(summary(seen({}, { v4: found('198.51.100.1') }), [byDns])).toContain('ADDRESS_V4 problem')
  })

  test.each<[string, Observation, string, string]>([
    [
      'a wrong address',
      seen({}, { v4: found('198.51.100.1') }),
      'ADDRESS_V4',
      'Remove the record "www.shop.test. A 198.51.100.1". Create the record "www.shop.test. A 192.0.2.10", or instead of all address records "www.shop.test. CNAME edge.host.test.".',
    ],
    [
      'at the top of a zone there is no CNAME',
      seen({ name: 'shop.test', host: 'shop.test' }, { chain: ['shop.test'], v4: found('198.51.100.1') }),
      'ADDRESS_V4',
      'Remove the record "shop.test. A 198.51.100.1". Create the record "shop.test. A 192.0.2.10".',
    ],
    [
      'a stray AAAA where we have no IPv6',
      seen({ right: { addresses: ['192.0.2.10'], cnameTarget: null } }, { v6: found('2001:db8::99') }),
      'STRAY_AAAA',
      'Remove the record "www.shop.test. AAAA 2001:db8::99".',
    ],
    [
      'an alias elsewhere',
      seen({}, { chain: ['www.shop.test', 'old.test'], v4: found('198.51.100.1') }),
      'ADDRESS_V4',
      'Change the record "www.shop.test. CNAME old.test." to "www.shop.test. CNAME edge.host.test.".',
    ],
    [
      'an alias elsewhere, without a target of ours',
      seen(
        { right: { addresses: ['192.0.2.10', '2001:db8::10'], cnameTarget: null } },
        { chain: ['www.shop.test', 'old.test'], v4: absent },
      ),
      'CNAME_DANGLING',
      'Replace the record "www.shop.test. CNAME old.test." by "www.shop.test. A 192.0.2.10" and "www.shop.test. AAAA 2001:db8::10".',
    ],
    [
      'a wildcard',
      seen({ name: '*.shop.test', host: 'nameplate-check.shop.test' }, { v4: absent }),
      'NAME_MISSING',
      'Create the record "*.shop.test. A 192.0.2.10", or instead of all address records "*.shop.test. CNAME edge.host.test.".',
    ],
  ])('the record to change: %s', (_, observation, code, fix) => {
    expect(only(observation, code)?.fix).toBe(fix)
  })
})

describe('name servers', () => {
  test('that disagree are named with what they say', () => {
    const views = [
      { server: 'ns1.test', v4: found('192.0.2.10'), v6: absent },
      { server: 'ns2.test', v4: found('198.51.100.1'), v6: absent },
    ]
    const finding = only(seen({}, { views, v4: found('192.0.2.10', '198.51.100.1') }), 'NAME_SERVERS_DISAGREE')
    expect(finding?.status).toBe('warning')
    expect(finding?.detail).toContain('ns1.test: 192.0.2.10; ns2.test: 198.51.100.1.')
  })

  test('that give no answer: a warning for some, unknown for all', () => {
    const unreachable = [{ zone: 'shop.test', server: 'ns2.test', reason: 'no answer in time' }]
    const some = only(seen({}, { unreachable }), 'NAME_SERVERS_UNREACHABLE')
    expect(some).toMatchObject({ status: 'warning', fix: expect.stringContaining('"shop.test. NS ns2.test."') })
    const all = seen({}, { unreachable, isByResolver: true })
    expect(only(all, 'NAME_SERVERS_UNREACHABLE')?.status).toBe('unknown')
    expect(only(all, 'ADDRESS_V4')?.detail).toContain('what the resolver says')
  })
})

describe('CAA', () => {
  test.each<[string, Partial<Observation>, string]>([
    ['permits', caa(issue('letsencrypt.org')), 'CAA ok'],
    ['forbids', caa(issue(';')), 'CAA_FORBIDS problem !'],
    ['critical', caa(issue('x', 'tbs', 128)), 'CAA_CRITICAL_UNKNOWN problem !'],
    [
      'no answer while the name has one',
      { caa: [{ name: 'www.shop.test', result: { kind: 'unanswered', reason: 'SERVFAIL' } }] },
      'CAA_UNANSWERED problem !',
    ],
    [
      'no answer at all',
      {
        caa: [{ name: 'www.shop.test', result: { kind: 'unanswered', reason: 'no answer in time' } }],
        dnssec: { checked: 'none', unchecked: 'none', isAuthentic: false, isSigned: null, extendedError: null },
      },
      'CAA_UNANSWERED unknown',
    ],
  ])('%s', (_, change, line) => {
    expect(summary(seen(change))).toContain(line)
  })

  test('of two issuers one may be left', () => {
    const observation = seen(caa(issue('sectigo.com')))
    const judgement = judge(observation, [issuer, second])
    expect(judgement.permitted).toEqual([{ id: 'z', methods: ['http-01', 'tls-alpn-01'] }])
    expect(blockingFinding(judgement, observation.name, [issuer, second])).toBeNull()
    expect(only(observation, 'CAA_FORBIDS_SOME', [issuer, second])).toMatchObject({
      status: 'warning',
      fix: 'Add the record shop.test. CAA 0 issue "letsencrypt.org".',
    })
  })

  test('a method that CAA leaves and an address bars: together they block', () => {
    const methods = ['http-01', 'dns-01'] as const
    const observation = seen(caa(issue('letsencrypt.org; validationmethods=http-01')), { v4: found('198.51.100.1') })
    expect(summary(observation, [{ ...issuer, methods }])).toContain('ADDRESS_V4 problem !')
  })

  test.each([
    ['accounturi=https://ca.example/acct/2', issuer, 'another account than ours (https://ca.example/acct/1)'],
    ['accounturi=https://ca.example/acct/2', { ...issuer, accountUrl: null }, 'we have none there yet'],
    ['validationmethods=dns-01', issuer, 'other ways of proof'],
  ])('says what binds it: %s', (parameter, judged, text) => {
    const finding = only(seen(caa(issue(`letsencrypt.org; ${parameter}`))), 'CAA_FORBIDS', [judged])
    expect(finding?.detail).toContain(text)
    expect(finding?.fix).toMatch(/^Change the record shop\.test\. CAA 0 issue "letsencrypt\.org; /)
  })
})

describe('DNSSEC, clock, name, CDN', () => {
  test('broken signatures block everything, a wildcard too', () => {
    const dnssec = {
      checked: 'failed',
      unchecked: 'answered',
      isAuthentic: false,
      isSigned: true,
      extendedError: 'a signature has expired',
    } as const
    expect(summary(seen({ dnssec }))).toContain('DNSSEC_BROKEN problem !')
    expect(summary(seen({ dnssec, name: '*.shop.test' }))).toContain('DNSSEC_BROKEN problem !')
    expect(only(seen({ dnssec }), 'DNSSEC_BROKEN')?.detail).toContain('a signature has expired')
  })

  test.each([
    ['checked and right', { isAuthentic: true, isSigned: true }, 'ok'],
    ['signed, not checked', { isAuthentic: false, isSigned: true }, 'unknown'],
    ['not signed', { isAuthentic: false, isSigned: false }, 'ok'],
    ['not known', { isAuthentic: false, isSigned: null }, 'unknown'],
    ['failing either way', { checked: 'failed', unchecked: 'failed' } as const, 'unknown'],
  ])('DNSSEC %s', (_, change, status) => {
    expect(only(seen({ dnssec: { ...good.dnssec, ...change } }), 'DNSSEC')?.status).toBe(status)
  })

  test.each([
    [5 * 60_000, undefined],
    [5 * 60_000 + 1, 'The clock of this machine is 5 minutes behind that of the CA.'],
    [-3_600_000, 'The clock of this machine is 60 minutes ahead of that of the CA.'],
  ])('a clock that differs by %i ms', (clockSkewMs, detail) => {
    expect(only(seen({ clockSkewMs }), 'CLOCK_SKEW')?.detail).toBe(detail)
  })

  test.each([
    ['192.0.2.7', 'NAME_NOT_ISSUABLE problem !'],
    ['box.internal', 'NAME_NOT_ISSUABLE problem !'],
    ['co.uk', 'NAME_NOT_ISSUABLE problem !'],
    [`${'a.'.repeat(130)}shop.test`, 'NAME_NOT_ISSUABLE problem !'],
    [`${'a.'.repeat(9)}shop.test`, 'NAME_NOT_ISSUABLE warning'],
  ])('%s cannot be issued for', (name, line) => {
    expect(summary(seen({ name, host: name }))[0]).toBe(line)
  })

  test.each<[string, Observation, string]>([
    ['an address', seen({}, { v4: found('151.101.1.1') }), 'Fastly'],
    ['an alias', seen({}, { chain: ['www.shop.test', 'd1.cloudfront.net'] }), 'Amazon CloudFront'],
    ['a head', seen({ probes: [probe(4, { kind: 'ours' }, 'Bunny')] }), 'Bunny'],
  ])('a CDN is known by %s', (_, observation, name) => {
    expect(only(observation, 'CDN_IN_FRONT')?.detail).toContain(name)
  })
})

describe('port 80', () => {
  test.each<[string, PortProbe['result'], string]>([
    ['ours', { kind: 'ours' }, 'PORT_80 ok'],
    ['not tried', { kind: 'unknown', reason: 'no way' }, 'PORT_80 unknown'],
    [
      'silent: may be our own way back',
      { kind: 'unreachable', reason: 'nothing answers' },
      'PORT_80_UNREACHABLE problem',
    ],
    ['to another host', { kind: 'redirect', location: 'http://other.test/' }, 'PORT_80_REDIRECTS problem !'],
    [
      'to https of the same host',
      { kind: 'redirect', location: 'https://www.shop.test/x' },
      'PORT_80_REDIRECTS warning',
    ],
    ['to an odd port', { kind: 'redirect', location: 'https://www.shop.test:8443/' }, 'PORT_80_REDIRECTS problem !'],
    ['to nowhere', { kind: 'redirect', location: 'http://' }, 'PORT_80_REDIRECTS problem !'],
    ['another server', { kind: 'other', status: 200, server: 'nginx' }, 'PORT_80_OTHER_SERVER problem !'],
    ['perhaps an older listener', { kind: 'other', status: 404, server: null }, 'PORT_80_OTHER_SERVER warning'],
  ])('%s', (_, result, line) => {
    const byHttp = { ...issuer, methods: ['http-01'] as const }
    const probes = [{ ...probe(4, result), address: '192.0.2.10' }]
    expect(summary(seen({ probes }), [byHttp])).toContain(line)
  })

  test('what bars http-01 alone leaves tls-alpn-01', () => {
    const probes = [{ ...probe(4, { kind: 'other', status: 200, server: null }), address: '192.0.2.10' }]
    expect(summary(seen({ probes }))).toContain('PORT_80_OTHER_SERVER problem')
  })
})
