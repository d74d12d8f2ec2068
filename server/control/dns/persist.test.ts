import fc from 'fast-check'
import { expect, test } from 'vitest'
import { startTestDns } from '../../test/dns.ts'
import { createLookups } from '../outbound/resolver.ts'
import { judgePersistRecords, lookUpPersistRecord, type PersistState, persistInstruction } from './persist.ts'

const accountUrl = 'https://ca.example/acct/123'
const wanted = { issuerDomains: ['ca.example', 'www.ca.example'], accountUrl, isWildcard: false }
const now = new Date('2026-11-28T00:00:00Z')
const seconds = now.getTime() / 1000
const judge = (values: string[], some: Partial<typeof wanted> = {}): PersistState =>
  judgePersistRecords({ kind: 'found', values }, { ...wanted, ...some }, now)

test.each<[string, string, string]>([
  ['plain', `ca.example; accounturi=${accountUrl}`, 'found'],
  ['the other domain, in capitals, with a dot', `WWW.CA.example.;accounturi=${accountUrl}`, 'found'],
  ['spaces and unknown tags', `  ca.example ;  future=1;  AccountURI=${accountUrl} ; `, 'found'],
  ['until later', `ca.example; accounturi=${accountUrl}; persistUntil=${seconds + 1}`, 'found'],
  ['until now', `ca.example; accounturi=${accountUrl}; persistUntil=${seconds}`, 'expired'],
  ['until what', `ca.example; accounturi=${accountUrl}; persistUntil=tomorrow`, 'malformed'],
  ['another account', 'ca.example; accounturi=https://ca.example/acct/124', 'wrong-account'],
  ['no account', 'ca.example', 'wrong-account'],
  ['another CA', `other.example; accounturi=${accountUrl}`, 'absent'],
  ['something else', 'v=spf1 -all', 'absent'],
  ['nothing', '', 'absent'],
  ['no value', 'ca.example; accounturi', 'malformed'],
  ['twice', `ca.example; accounturi=${accountUrl}; accounturi=${accountUrl}`, 'malformed'],
])('%s: %s -> %s', (_, value, state) => {
  expect(judge([value]).state).toBe(state)
})

test('a wildcard needs the policy; a single name does not mind it', () => {
  const plain = `ca.example; accounturi=${accountUrl}`
  expect(judge([plain], { isWildcard: true }).state).toBe('no-wildcard')
  expect(judge([`${plain}; policy=Wildcard`], { isWildcard: true }).state).toBe('found')
  expect(judge([`${plain}; policy=wildcard`]).state).toBe('found')
  expect(judge([`${plain}; policy=other`], { isWildcard: true }).state).toBe('no-wildcard')
})

test('one good value among others is enough, and of two good ones the one that lasts counts', () => {
  const good = `ca.example; accounturi=${accountUrl}`
  expect(judge(['v=spf1', 'ca.example', `${good}; persistUntil=1`, good])).toEqual({
    state: 'found',
    persistUntil: null,
  })
  const later = new Date((seconds + 900) * 1000)
  const both = [`${good}; persistUntil=${seconds + 5}`, `${good}; persistUntil=${seconds + 900}`]
  expect(judge(both)).toEqual({ state: 'found', persistUntil: later })
  expect(judge(both.toReversed())).toEqual({ state: 'found', persistUntil: later })
})

test('what is shown is what is found', () => {
  fc.assert(
    fc.property(
      fc.boolean(),
      fc.option(fc.integer({ min: 1, max: 1e9 })),
      fc.stringMatching(/^https:\/\/[a-z0-9.]{1,20}\/[a-zA-Z0-9/=_-]{0,20}$/),
      (isWildcard, after, account) => {
        const persistUntil = after === null ? null : new Date((seconds + after) * 1000)
        const name = `${isWildcard ? '*.' : ''}shop.example`
        const shown = persistInstruction(name, {
          issuerDomain: 'ca.example',
          accountUrl: account,
          ...(persistUntil === null ? {} : { persistUntil }),
        })
        expect(shown).toMatchObject({ type: 'TXT', name: '_validation-persist.shop.example' })
        const state = judge([shown.value], { isWildcard, accountUrl: account })
        expect(state).toEqual({ state: 'found', persistUntil })
      },
    ),
  )
})

test('any text is judged, none breaks it', () => {
  fc.assert(fc.property(fc.array(fc.string()), (values) => void judge(values.map((text) => `ca.example;${text}`))))
})

test('it is looked up below the name, and no answer is told from no record', async () => {
  await using dns = await startTestDns()
  const lookups = createLookups([dns.address])
  const look = (name: string) => lookUpPersistRecord(lookups, name, wanted, now)
  dns.set('TXT', '_validation-persist.shop.example', [`ca.example; accounturi=${accountUrl}`])
  dns.fail('_validation-persist.broken.example', 'servfail')
  expect(await look('shop.example')).toEqual({ state: 'found', persistUntil: null })
  expect(await look('*.shop.example')).toEqual({ state: 'found', persistUntil: null })
  expect(await look('other.example')).toEqual({ state: 'absent' })
  expect(await look('broken.example')).toMatchObject({ state: 'unanswered' })
})
