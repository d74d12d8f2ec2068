import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createReach } from '../../contract/reach.ts'
import { type Expectation, judgeSights, type Sight } from './judge.ts'
import { nextProbeMs, standingAfter } from './schedule.ts'
import { probeTargets, type TargetChoice } from './targets.ts'

const MINUTE_MS = 60_000
const activatedAt = new Date('2026-01-01T00:00:00Z')
const at = (minutes: number): Date => new Date(activatedAt.getTime() + minutes * MINUTE_MS)
const live: Expectation = { active: 'new', previous: ['old'], activatedAt, isLive: true }
const unconfirmed = { ...live, isLive: false }
const served = (fingerprint: string, address = '192.0.2.1'): Sight => ({ address, kind: 'served', fingerprint })
const silent: Sight = { address: '192.0.2.1', kind: 'silent', detail: 'nothing answers there' }
const noRoute: Sight = { address: '2001:db8::1', kind: 'no-route' }

describe('what was seen', () => {
  test.each([
    ['as it should be', [served('new')], live, 60, 'ok'],
    ['as it should be at every address', [served('new'), served('new', '192.0.2.2')], live, 60, 'ok'],
    ['another one at one address', [served('new'), served('x', '192.0.2.2')], live, 60, 'problem'],
    ['another one', [served('x')], live, 60, 'problem'],
    ['another one, just after the activation', [served('x')], live, 1, 'problem'],
    ['another one, not confirmed, just after', [served('x')], unconfirmed, 1, 'grace'],
    ['another one, not confirmed, half an hour', [served('x')], unconfirmed, 30, 'grace'],
    ['another one, not confirmed for long', [served('x')], unconfirmed, 90, 'problem'],
    ['the previous one, just after', [served('old')], live, 4, 'grace'],
    ['the previous one, later', [served('old')], live, 6, 'problem'],
    ['the previous one, not confirmed', [served('old')], unconfirmed, 30, 'grace'],
    ['nobody', [silent], live, 60, 'problem'],
    ['nobody, live or not', [silent], unconfirmed, 30, 'problem'],
    ['nobody, before it was ever confirmed', [silent], unconfirmed, 1, 'grace'],
    ['no way there', [noRoute], live, 60, 'skipped'],
    ['no way to one of two', [noRoute, served('new')], live, 60, 'ok'],
    ['no address', [], live, 60, 'skipped'],
  ] as const)('%s', (_, sights, expected, minutes, kind) => {
    expect(judgeSights(sights, expected, at(minutes)).kind).toBe(kind)
  })

  test('what is wrong is named with its address', () => {
    expect(judgeSights([served('new'), served('x', '192.0.2.2')], live, at(60))).toEqual({
      kind: 'problem',
      detail: '192.0.2.2 shows another certificate than the one that is kept for this name.',
      servedFingerprint: 'x',
    })
    expect(judgeSights([silent], live, at(60)).detail).toBe('192.0.2.1: nothing answers there.')
  })
})

const verdicts = fc.constantFrom('ok', 'grace', 'problem', 'skipped')

/** The rule in words: two problems in a row raise the alarm, a right look ends it. */
function alarmsOf(kinds: readonly string[]): boolean[] {
  let inARow = 0
  let isAlarm = false
  return kinds.map((kind) => {
    inARow = kind === 'problem' ? inARow + 1 : 0
    isAlarm = kind !== 'ok' && (isAlarm || inARow >= 2)
    return isAlarm
  })
}

test('an alarm takes two looks in a row, and only a right one ends it', () => {
  fc.assert(
    fc.property(fc.array(verdicts, { maxLength: 30 }), (kinds) => {
      let standing: { state: string; failures: number } = { state: 'waiting', failures: 0 }
      const alarms = kinds.map((kind) => {
        const next = standingAfter(standing, { kind, detail: null, servedFingerprint: null })
        standing = next
        // Once a day at least, whatever happened.
        expect(nextProbeMs(next, 0.999)).toBeLessThanOrEqual(24 * 60 * MINUTE_MS)
        if (next.state === 'suspect') expect(nextProbeMs(next, 0.5)).toBe(MINUTE_MS)
        return next.state === 'failed'
      })
      expect(alarms).toEqual(alarmsOf(kinds))
    }),
  )
})

describe('the addresses that are looked at', () => {
  const choose = (some: Partial<TargetChoice>) =>
    probeTargets({ found: [], publicAddresses: [], dedicated: [], reach: createReach([]), ...some })
  test.each([
    ['ours, where the DNS leads', { found: ['9.9.9.9'], publicAddresses: ['9.9.9.9', '9.9.9.10'] }, ['9.9.9.9']],
    ['ours, where the DNS leads elsewhere', { found: ['1.1.1.1'], publicAddresses: ['9.9.9.9'] }, ['9.9.9.9']],
    ['ours, where the DNS says nothing', { publicAddresses: ['9.9.9.9'] }, ['9.9.9.9']],
    [
      'the one of the site',
      { found: ['9.9.9.11'], publicAddresses: ['9.9.9.9'], dedicated: ['9.9.9.11'] },
      ['9.9.9.11'],
    ],
    ['of the DNS, where none is ours', { found: ['1.1.1.1'] }, ['1.1.1.1']],
    ['private, as an admin has set it', { found: ['10.0.0.1'], publicAddresses: ['10.0.0.1'] }, ['10.0.0.1']],
    ['private, as a tenant has set it: none', { found: ['10.0.0.1', '127.0.0.1', '::1', '169.254.169.254'] }, []],
    ['private, of an address row: none', { found: ['10.0.0.7'], dedicated: ['10.0.0.7'] }, []],
    ['private, with leave', { found: ['10.0.0.1'], reach: createReach(['10.0.0.0/8']) }, ['10.0.0.1']],
    ['however it is written', { found: ['2620:FE:0::9'], publicAddresses: ['2620:fe::9'] }, ['2620:fe::9']],
    [
      'four at most',
      { found: ['1.1.1.1', '1.1.1.2', '1.1.1.3', '1.1.1.4', '1.1.1.5'] },
      ['1.1.1.1', '1.1.1.2', '1.1.1.3', '1.1.1.4'],
    ],
  ])('%s', (_, some, expected) => {
    expect(choose(some)).toEqual(expected)
  })
})
