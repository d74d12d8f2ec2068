import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  challengeName,
  claimOf,
  coveringProof,
  httpProofUrl,
  instructionsFor,
  namesAbove,
  proofValue,
  provingNames,
} from './proof.ts'
import { hasLapsed, nextPendingCheck, nextVerifiedCheck } from './schedule.ts'

const none: ReadonlySet<string> = new Set()
const now = new Date('2026-11-23T12:00:00Z')
const longAgo = new Date(0)
const txt = (name: string, checkedAt = now) => ({ name, method: 'txt' as const, checkedAt, lapsedAt: null })

describe('provingNames', () => {
  test.each([
    ['example.com', ['example.com']],
    ['a.b.example.com', ['example.com', 'b.example.com', 'a.b.example.com']],
    ['*.b.example.com', ['example.com', 'b.example.com']],
  ])('%s by %j', (name, names) => expect(provingNames(claimOf(name, 'example.com'), none)).toEqual(names))

  test('below a name that somebody else has proven only names below it count, and always the very name', () => {
    const claim = claimOf('a.b.c.example.com', 'example.com')
    expect(provingNames(claim, new Set(['example.com']))).toEqual([
      'c.example.com',
      'b.c.example.com',
      'a.b.c.example.com',
    ])
    expect(provingNames(claim, new Set(['example.com', 'c.example.com']))).toEqual([
      'b.c.example.com',
      'a.b.c.example.com',
    ])
    expect(provingNames(claim, new Set([claim.base]))).toEqual([claim.base])
    expect(provingNames(claim, new Set(['other.example.com']))).toHaveLength(4)
    expect(namesAbove(claim, ['example.com', 'c.example.com', claim.base, 'x.c.example.com'])).toEqual([
      'example.com',
      'c.example.com',
    ])
  })

  test('a name whose challenge name would be too long is proven from above', () => {
    const base = `${'a'.repeat(60)}.${'b'.repeat(60)}.${'c'.repeat(60)}.${'d'.repeat(50)}.example.com`
    const names = provingNames(claimOf(base, 'example.com'), none)
    expect(names).not.toContain(base)
    expect(names[0]).toBe('example.com')
  })
})

describe('coveringProof', () => {
  const www = claimOf('www.example.com', 'example.com')
  const star = claimOf('*.example.com', 'example.com')
  test('TXT proves what is at and below its name', () => {
    expect(coveringProof(www, [txt('example.com')], none, longAgo)).toBeDefined()
    expect(coveringProof(star, [txt('example.com')], none, longAgo)).toBeDefined()
    expect(coveringProof(www, [txt('www.example.com')], none, longAgo)).toBeDefined()
    expect(coveringProof(star, [txt('www.example.com')], none, longAgo)).toBeUndefined()
    expect(coveringProof(www, [txt('w.example.com')], none, longAgo)).toBeUndefined()
    expect(
      coveringProof(claimOf('example.com', 'example.com'), [txt('www.example.com')], none, longAgo),
    ).toBeUndefined()
  })
  test('a proof that has lapsed or was not seen for long does not count', () => {
    expect(coveringProof(www, [{ ...txt('example.com'), lapsedAt: now }], none, longAgo)).toBeUndefined()
    expect(coveringProof(www, [txt('example.com', longAgo)], none, now)).toBeUndefined()
  })
  test('HTTP and trusted prove that hostname alone, HTTP never a wildcard', () => {
    const seen = { checkedAt: longAgo, lapsedAt: null }
    expect(coveringProof(www, [{ ...seen, name: 'www.example.com', method: 'http' }], none, now)).toBeDefined()
    expect(coveringProof(www, [{ ...seen, name: 'example.com', method: 'http' }], none, now)).toBeUndefined()
    expect(coveringProof(star, [{ ...seen, name: '*.example.com', method: 'http' }], none, now)).toBeUndefined()
    expect(coveringProof(star, [{ ...seen, name: '*.example.com', method: 'trusted' }], none, now)).toBeDefined()
    expect(coveringProof(www, [{ ...seen, name: 'example.com', method: 'trusted' }], none, now)).toBeUndefined()
  })
})

test('a proof never covers a name outside of what it proves', () => {
  const label = fc.constantFrom('a', 'b', 'c')
  const name = fc.array(label, { maxLength: 4 }).map((labels) => [...labels, 'example.com'].join('.'))
  fc.assert(
    fc.property(
      name,
      fc.boolean(),
      name,
      fc.uniqueArray(name, { maxLength: 3 }),
      (base, isWildcard, proven, others) => {
        const claim = claimOf(isWildcard ? `*.${base}` : base, 'example.com')
        const foreign = new Set(others)
        const isCovered = coveringProof(claim, [txt(proven)], foreign, longAgo) !== undefined
        if (isCovered) expect(base === proven || base.endsWith(`.${proven}`)).toBe(true)
        const between = others.some(
          (other) => base.endsWith(`.${other}`) && (proven === other || other.endsWith(`.${proven}`)),
        )
        expect(isCovered).toBe(
          (base === proven || base.endsWith(`.${proven}`)) &&
            !(between && base !== proven) &&
            !(foreign.has(base) && base !== proven),
        )
      },
    ),
  )
})

test('instructions are exact, and recommend one record for the whole domain', () => {
  expect(instructionsFor(claimOf('a.b.example.com', 'example.com'), 't0', none)).toEqual([
    {
      type: 'TXT',
      name: '_nameplate-challenge.example.com',
      value: 'nameplate-verify=t0',
      proves: 'example.com and every name below it',
    },
    {
      type: 'TXT',
      name: '_nameplate-challenge.a.b.example.com',
      value: 'nameplate-verify=t0',
      proves: 'a.b.example.com and every name below it',
    },
    {
      type: 'HTTP',
      name: 'http://a.b.example.com/.well-known/nameplate-challenge/t0',
      value: 'nameplate-verify=t0',
      proves: 'a.b.example.com alone',
    },
  ])
  expect(instructionsFor(claimOf('*.example.com', 'example.com'), 't0', none).map(({ type }) => type)).toEqual(['TXT'])
  expect(challengeName('example.com')).toBe('_nameplate-challenge.example.com')
  expect(httpProofUrl('example.com', 't')).toBe('http://example.com/.well-known/nameplate-challenge/t')
  expect(proofValue('t')).toBe('nameplate-verify=t')
})

test('an unproven claim is looked at after seconds, then ever more rarely', () => {
  const wait = (ageMs: number) => nextPendingCheck(new Date(now.getTime() - ageMs), now, 0).getTime() - now.getTime()
  expect([0, 10_000, 60_000, 600_000, 86_400_000, 10 * 86_400_000].map(wait)).toEqual([
    2_000, 2_000, 6_000, 60_000, 3_600_000, 86_400_000,
  ])
  expect(nextPendingCheck(now, now, 0.999).getTime() - now.getTime()).toBeLessThan(2_200)
  fc.assert(
    fc.property(fc.double({ min: 0, max: 0.999, noNaN: true }), (random) => {
      const hours = (nextVerifiedCheck(now, random).getTime() - now.getTime()) / 3_600_000
      expect(hours).toBeGreaterThan(21)
      expect(hours).toBeLessThan(27)
    }),
  )
})

test('a proof lapses after three missed checks and three days, not before', () => {
  const day = 86_400_000
  const ago = (days: number) => new Date(now.getTime() - days * day)
  expect(hasLapsed(ago(3), 3, now)).toBe(true)
  expect(hasLapsed(ago(30), 2, now)).toBe(false)
  expect(hasLapsed(ago(2.9), 30, now)).toBe(false)
})
