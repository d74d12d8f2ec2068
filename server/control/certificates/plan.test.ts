import fc from 'fast-check'
import { expect, test } from 'vitest'
import { chooseIssuer, type PlannedIssuer } from './choose-issuer.ts'
import { type PlannedCertificate, planCertificate } from './plan.ts'

const NOW = new Date('2026-11-23T12:00:00Z')
const DAY_MS = 86_400_000
const day = (days: number): Date => new Date(NOW.getTime() + days * DAY_MS)

const works = { isEnabled: true, circuitOpenUntil: null, failingSince: null }
const acme: PlannedIssuer = { id: 'acme', kind: 'acme', priority: 100, ...works }
const next: PlannedIssuer = { id: 'next', kind: 'acme', priority: 200, ...works }
const local: PlannedIssuer = { id: 'local', kind: 'local', priority: 1_000, ...works }
const down = (issuer: PlannedIssuer, hours: number): PlannedIssuer => ({
  ...issuer,
  circuitOpenUntil: day(0.01),
  failingSince: new Date(NOW.getTime() - hours * 3_600_000),
})
const off = (issuer: PlannedIssuer): PlannedIssuer => ({ ...issuer, isEnabled: false })
const fresh = { issuerId: 'acme', notBefore: day(-1), notAfter: day(89) }
const old = { issuerId: 'acme', notBefore: day(-65), notAfter: day(25) }
const open = { id: 'order', issuerId: 'acme', expiresAt: day(1), createdAt: NOW, isFinalized: false }
const window = { start: day(10), end: day(12), selectedAt: day(11) }

const base: PlannedCertificate = {
  names: ['www.plan.test'],
  state: 'wanted',
  source: 'issued',
  active: null,
  openOrder: null,
  hostnames: ['verified'],
  renewAt: null,
  window: null,
  pollAt: null,
  isRehearsing: false,
  preferredIssuerIds: [],
  shunned: {},
  provesByDns: false,
}
const wildcard = { ...base, names: ['*.plan.test'] }

test.each<[string, PlannedCertificate, PlannedIssuer[], object]>([
  ['a new name', base, [local, acme], { kind: 'order', issuerId: 'acme', reason: 'first' }],
  ['a new name with the local CA alone', base, [local], { kind: 'order', issuerId: 'local', reason: 'first' }],
  ['a new name with a disabled CA', base, [off(acme), local], { kind: 'order', issuerId: 'local', reason: 'first' }],
  ['no issuer', base, [off(acme)], { kind: 'pause', problem: { code: 'NO_ISSUER' } }],
  ['an old one', { ...base, active: old }, [acme], { kind: 'order', reason: 'renewal' }],
  ['an expired one', { ...base, active: { ...old, notAfter: day(-1) } }, [acme], { kind: 'order', reason: 'renewal' }],
  ['a fresh one that somebody woke', { ...base, active: fresh }, [acme], { kind: 'wait', until: day(54.5) }],
  [
    'one of the local CA',
    { ...base, active: { ...fresh, issuerId: 'local' } },
    [acme, local],
    { kind: 'order', issuerId: 'acme', reason: 'reissue' },
  ],
  ['a wildcard by http-01', wildcard, [acme], { kind: 'pause', problem: { code: 'WILDCARD_NEEDS_DNS' } }],
  [
    'a new wildcard beside the local CA',
    wildcard,
    [acme, local],
    { kind: 'pause', problem: { code: 'WILDCARD_NEEDS_DNS' } },
  ],
  ['a wildcard of the local CA', wildcard, [local], { kind: 'order', issuerId: 'local' }],
  [
    'a wildcard that the local CA issued',
    { ...wildcard, active: { ...old, issuerId: 'local' } },
    [acme, local],
    { kind: 'order', issuerId: 'local', reason: 'renewal' },
  ],
  ['an open order', { ...base, openOrder: open }, [acme], { kind: 'resume', orderId: 'order' }],
  ['an open order without an end', { ...base, openOrder: { ...open, expiresAt: null } }, [acme], { kind: 'resume' }],
  [
    'an open order that has expired',
    { ...base, openOrder: { ...open, expiresAt: NOW } },
    [acme],
    { kind: 'abandon', orderId: 'order' },
  ],
  ['an open order of a disabled issuer', { ...base, openOrder: open }, [off(acme), local], { kind: 'abandon' }],
  [
    'an open order for a name that lapsed',
    { ...base, openOrder: open, hostnames: ['lapsed'] },
    [acme],
    { kind: 'abandon' },
  ],
  [
    'a name that lapsed',
    { ...base, hostnames: ['lapsed'] },
    [acme],
    { kind: 'pause', problem: { code: 'OWNERSHIP_LAPSED' } },
  ],
  ['a name that moved away', { ...base, hostnames: ['disputed'] }, [acme], { kind: 'retire' }],
  ['no name at all', { ...base, hostnames: [] }, [acme], { kind: 'retire' }],
  ['an uploaded one', { ...base, source: 'uploaded' }, [acme], { kind: 'rest' }],
  ['a retired one', { ...base, state: 'retired', hostnames: [] }, [acme], { kind: 'rest' }],
  ['a name that was given up', { ...base, state: 'retired' }, [acme], { kind: 'look' }],
  ['a new name at a CA that fails', base, [down(acme, 0.1), next], { kind: 'order', issuerId: 'next' }],
  ['a new name when all fail', base, [down(acme, 0.1), down(next, 3)], { kind: 'wait', until: day(0.01) }],
  [
    'an old one at a CA that fails',
    { ...base, active: old },
    [down(acme, 0.1), next],
    { kind: 'wait', isFresh: false },
  ],
  [
    'an old one at a CA that has failed for two hours',
    { ...base, active: old },
    [down(acme, 2), next],
    { kind: 'order', issuerId: 'next', reason: 'renewal' },
  ],
  [
    'an urgent one at a CA that fails',
    { ...base, active: { ...old, notAfter: day(3) } },
    [down(acme, 0.1), next],
    { kind: 'order', issuerId: 'next', isUrgent: true },
  ],
  [
    'one that would not live to see the CA again',
    { ...base, active: { ...old, notAfter: day(0.015) } },
    [down(acme, 0.1)],
    { kind: 'order', issuerId: 'acme' },
  ],
  [
    'one of the second CA while the first works again',
    { ...base, active: { ...fresh, issuerId: 'next' } },
    [acme, next],
    { kind: 'wait', isFresh: true },
  ],
  [
    'a name that the first CA refused',
    { ...base, shunned: { acme: { until: day(1).toISOString(), code: 'CAA' } } },
    [acme, next],
    { kind: 'order', issuerId: 'next' },
  ],
  [
    "a name in the tenant's order",
    { ...base, preferredIssuerIds: ['next', 'acme'] },
    [acme, next],
    { kind: 'order', issuerId: 'next' },
  ],
  ['an open order at a CA that fails', { ...base, openOrder: open }, [down(acme, 0.1), next], { kind: 'abandon' }],
  [
    'a finalized order at a CA that fails',
    { ...base, openOrder: { ...open, isFinalized: true } },
    [down(acme, 0.1), next],
    { kind: 'resume' },
  ],
  ['a wildcard with a DNS provider', { ...wildcard, provesByDns: true }, [acme], { kind: 'order', issuerId: 'acme' }],
  ['a rehearsal', { ...base, isRehearsing: true }, [acme], { kind: 'order', isRehearsal: true }],
  ['one whose window is to be asked for', { ...base, active: fresh, pollAt: NOW }, [acme], { kind: 'ask' }],
  ['one to ask for later', { ...base, active: fresh, pollAt: day(0.25) }, [acme], { kind: 'wait', until: day(0.25) }],
  [
    'one whose CA suggests a time',
    { ...base, active: fresh, window, renewAt: day(50), pollAt: day(20) },
    [acme],
    { kind: 'wait', until: day(11) },
  ],
  [
    'one whose CA wants it replaced now',
    { ...base, active: fresh, window: { start: day(-3), end: day(-2), selectedAt: NOW }, pollAt: day(1) },
    [acme],
    { kind: 'order', reason: 'renewal' },
  ],
  [
    'one whose CA says later than is safe',
    { ...base, active: { ...old, notAfter: day(3) }, window: { start: day(2), end: day(3), selectedAt: day(2.9) } },
    [acme],
    { kind: 'order', reason: 'renewal' },
  ],
])('plans %s', (_what, certificate, issuers, expected) => {
  expect(planCertificate(certificate, issuers, NOW)).toMatchObject(expected)
})

const issuerOf = fc.record({
  id: fc.constantFrom('a', 'b', 'c'),
  kind: fc.constantFrom('acme' as const, 'local' as const),
  isEnabled: fc.boolean(),
  priority: fc.integer({ min: 0, max: 3 }),
  circuitOpenUntil: fc.option(fc.constantFrom(day(-1), day(1))),
  failingSince: fc.option(fc.constant(day(-2))),
})
const certificateOf: fc.Arbitrary<PlannedCertificate> = fc.record({
  names: fc.constantFrom(['www.plan.test'], ['*.plan.test']),
  state: fc.constantFrom(
    'wanted',
    'ordering',
    'valid',
    'renewing',
    'failing',
    'paused',
    'expired',
    'retired',
    'revoked',
  ),
  source: fc.constantFrom('issued' as const, 'uploaded' as const),
  active: fc.option(
    fc.record({
      issuerId: fc.constantFrom('a', 'b'),
      notBefore: fc.constant(day(-30)),
      notAfter: fc.constantFrom(day(-1), day(5), day(60)),
    }),
  ),
  openOrder: fc.option(
    fc.record({
      id: fc.constant('o'),
      issuerId: fc.constantFrom('a', 'b'),
      expiresAt: fc.option(fc.constantFrom(day(-1), day(1))),
      createdAt: fc.constantFrom(NOW, day(-1)),
      isFinalized: fc.boolean(),
    }),
  ),
  hostnames: fc.array(fc.constantFrom('pending', 'verified', 'lapsed', 'disputed', 'released'), { maxLength: 3 }),
  renewAt: fc.option(fc.constantFrom(day(-1), day(40))),
  window: fc.constant(null),
  pollAt: fc.option(fc.constantFrom(day(-1), day(1))),
  isRehearsing: fc.boolean(),
  preferredIssuerIds: fc.constantFrom([], ['b', 'a'], ['c']),
  shunned: fc.constantFrom({}, { a: { until: day(1).toISOString(), code: 'CAA' } }),
  provesByDns: fc.boolean(),
})

test('whatever the rows are, nothing is ordered unproven, twice, from a disabled issuer or while fresh', () => {
  fc.assert(
    fc.property(certificateOf, fc.uniqueArray(issuerOf, { selector: ({ id }) => id }), (certificate, issuers) => {
      const action = planCertificate(certificate, issuers, NOW)
      if (action.kind !== 'order') return
      const issuer = issuers.find(({ id }) => id === action.issuerId)
      expect(certificate.hostnames).toContain('verified')
      expect(certificate.openOrder).toBeNull()
      expect(['retired', 'revoked']).not.toContain(certificate.state)
      expect(issuer?.isEnabled).toBe(true)
      const isProvable = certificate.provesByDns || !certificate.names[0]?.startsWith('*.')
      expect(issuer?.kind === 'local' || isProvable).toBe(true)
      const isLastChance = certificate.active !== null && certificate.active.notAfter.getTime() === day(5).getTime()
      const isOpen = issuer?.circuitOpenUntil != null && issuer.circuitOpenUntil > NOW
      expect(!isOpen || isLastChance).toBe(true)
      const isFresh =
        (certificate.renewAt ?? day(-1)) > NOW && certificate.active?.notAfter.getTime() === day(60).getTime()
      if (certificate.active?.issuerId === issuer?.id) expect(isFresh).toBe(false)
    }),
    { numRuns: 2_000 },
  )
})

test('an abandoned order is followed by another decision: planning never goes round in circles', () => {
  fc.assert(
    fc.property(certificateOf, fc.uniqueArray(issuerOf, { selector: ({ id }) => id }), (certificate, issuers) => {
      const first = planCertificate(certificate, issuers, NOW)
      if (first.kind !== 'abandon') return
      expect(planCertificate({ ...certificate, openOrder: null }, issuers, NOW).kind).not.toBe('abandon')
    }),
  )
})

test('the issuer with the lowest number is chosen whatever the order of rows', () => {
  const another = { ...acme, id: 'another', priority: 50 }
  for (const issuers of [
    [acme, another, local],
    [local, another, acme],
  ])
    expect(chooseIssuer(base, issuers, NOW)).toMatchObject({ kind: 'issuer', issuer: { id: 'another' } })
})
