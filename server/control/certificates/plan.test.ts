import fc from 'fast-check'
import { expect, test } from 'vitest'
import { chooseIssuer, type PlannedCertificate, type PlannedIssuer, planCertificate } from './plan.ts'

const NOW = new Date('2026-11-23T12:00:00Z')
const DAY_MS = 86_400_000
const day = (days: number): Date => new Date(NOW.getTime() + days * DAY_MS)

const acme: PlannedIssuer = { id: 'acme', kind: 'acme', isEnabled: true, priority: 100 }
const local: PlannedIssuer = { id: 'local', kind: 'local', isEnabled: true, priority: 1_000 }
const off = (issuer: PlannedIssuer): PlannedIssuer => ({ ...issuer, isEnabled: false })
const fresh = { issuerId: 'acme', notBefore: day(-1), notAfter: day(89) }
const old = { issuerId: 'acme', notBefore: day(-65), notAfter: day(25) }
const open = { id: 'order', issuerId: 'acme', expiresAt: day(1) }

const base: PlannedCertificate = {
  names: ['www.plan.test'],
  state: 'wanted',
  source: 'issued',
  active: null,
  openOrder: null,
  hostnames: ['verified'],
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
  ['a retired one', { ...base, state: 'retired' }, [acme], { kind: 'rest' }],
])('plans %s', (_what, certificate, issuers, expected) => {
  expect(planCertificate(certificate, issuers, NOW)).toMatchObject(expected)
})

const issuerOf = fc.record({
  id: fc.constantFrom('a', 'b', 'c'),
  kind: fc.constantFrom('acme' as const, 'local' as const),
  isEnabled: fc.boolean(),
  priority: fc.integer({ min: 0, max: 3 }),
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
    }),
  ),
  hostnames: fc.array(fc.constantFrom('pending', 'verified', 'lapsed', 'disputed', 'released'), { maxLength: 3 }),
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
      expect(issuer?.kind === 'local' || !certificate.names[0]?.startsWith('*.')).toBe(true)
      if (certificate.active?.issuerId === issuer?.id)
        expect(certificate.active?.notAfter.getTime()).toBeLessThan(day(60).getTime())
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
  expect(chooseIssuer(base, [acme, another, local])?.id).toBe('another')
  expect(chooseIssuer(base, [local, another, acme])?.id).toBe('another')
})
