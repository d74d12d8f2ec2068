import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { recordKinds } from '../../contract/records.ts'
import {
  type Change,
  compileRecord,
  distinctKeys,
  type NameRow,
  planChanges,
  pointedAt,
  type SiteCertificate,
  type Sources,
  shownWithoutName,
} from './compile.ts'

const empty: Sources = {
  names: new Map(),
  sites: new Map(),
  certificates: new Map(),
  addresses: new Map(),
  siteFingerprints: new Map(),
  challenges: new Map(),
  settings: new Map(),
  ticketEpoch: 1,
}
const row = (siteId: string, isVerified: boolean, day: number, fingerprint: string | null = null): NameRow => ({
  name: 'a.test',
  siteId,
  isVerified,
  verifiedAt: new Date(day * 86_400_000),
  fingerprint,
})
const nameOf = (rows: NameRow[]): unknown =>
  compileRecord({ kind: 'name', key: 'a.test' }, { ...empty, names: new Map([['a.test', rows]]) })

describe('a name', () => {
  test.each([
    ['is not served when nobody has proven it', [], null],
    ['hides a wildcard before its certificate is there', [row('s', true, 1)], { siteId: 's', certificates: [] }],
    ['has its certificate', [row('s', true, 1, 'f')], { siteId: 's', certificates: ['f'] }],
    ['stays with a lapsed owner', [row('old', false, 1), row('new', false, 2)], { siteId: 'new', certificates: [] }],
    ['belongs to who proves it', [row('lapsed', false, 9), row('s', true, 1)], { siteId: 's', certificates: [] }],
  ])('%s', (_, rows, record) => {
    expect(nameOf(rows)).toEqual(record)
  })
})

test('of the settings those go to the edges that are for them, the others stay', () => {
  const settings = new Map<string, unknown>([
    ['expiredCertificate', 'abort'],
    ['supportContact', 'help@example.test'],
  ])
  const compile = (key: string): unknown => compileRecord({ kind: 'setting', key }, { ...empty, settings })
  expect(compile('expiredCertificate')).toEqual({ value: 'abort' })
  expect(compile('listenerLimits')).toBeNull()
  expect(compile('supportContact')).toBeNull()
})

test('ticket secrets are published of this epoch and of the one before', () => {
  const compile = (key: string): unknown => compileRecord({ kind: 'ticket-key', key }, { ...empty, ticketEpoch: 9 })
  expect(['current', 'previous', 'other'].map(compile)).toEqual([
    { epoch: 9, sealedSecret: '' },
    { epoch: 8, sealedSecret: '' },
    null,
  ])
})

describe('an address', () => {
  const compile = (use: 'shared' | 'dedicated', siteId: string | null): unknown => {
    const addresses = new Map([['10.0.0.1', { address: '10.0.0.1', use, siteId, legacyTls: 'tls1.0' as const }]])
    const siteFingerprints = new Map([['s', ['f', 'g']]])
    return compileRecord({ kind: 'address', key: '10.0.0.1' }, { ...empty, addresses, siteFingerprints })
  }
  test.each([
    ['shared: nobody’s site', 'shared', null, { siteId: null, certificates: [], legacyTls: 'none' }],
    ['dedicated and free: not served', 'dedicated', null, null],
    ['allocated: its site', 'dedicated', 's', { siteId: 's', certificates: ['f', 'g'], legacyTls: 'tls1.0' }],
    ['allocated, no certificate yet', 'dedicated', 'other', { siteId: 'other', certificates: [], legacyTls: 'tls1.0' }],
  ] as const)('%s', (_, use, siteId, record) => {
    expect(compile(use, siteId)).toEqual(record)
  })
})

describe('for clients that say no name', () => {
  const of = (...texts: string[]): SiteCertificate[] =>
    texts.map((fingerprint) => ({ fingerprint, family: fingerprint.startsWith('r') ? 'rsa' : 'ecdsa' }))
  test.each([
    ['none', [], []],
    ['one', ['e1'], ['e1']],
    ['ECDSA first, and RSA for who knows nothing else', ['e1', 'e2', 'r1', 'r2'], ['e1', 'r1', 'e2', 'r2']],
    ['RSA first suits everybody', ['r1', 'e1', 'r2'], ['r1', 'r2']],
    ['not too many', 'e1 e2 e3 e4 e5 e6 e7 e8 e9 r1'.split(' '), 'e1 r1 e2 e3 e4 e5 e6 e7'.split(' ')],
  ])('%s', (_, all, shown) => {
    expect(shownWithoutName(of(...all))).toEqual(shown)
  })
})

test('what names and addresses point at is known', () => {
  const addresses = new Map([
    ['10.0.0.1', { address: '10.0.0.1', use: 'dedicated' as const, siteId: 's2', legacyTls: 'none' as const }],
  ])
  const names = new Map([['a.test', [row('s1', true, 1, 'f1'), row('s3', false, 2, 'f3')]]])
  const sources = { ...empty, names, addresses, siteFingerprints: new Map([['s2', ['f2', 'g2']]]) }
  expect(pointedAt(sources).map(({ kind, key }) => `${kind} ${key}`)).toEqual([
    'site s1',
    'certificate f1',
    'site s2',
    'certificate f2',
    'certificate g2',
  ])
})

const someChange: fc.Arbitrary<Change> = fc.record({
  kind: fc.constantFrom(...recordKinds),
  key: fc.constantFrom('a', 'b', 'c'),
  payload: fc.option(fc.constantFrom({ value: 1 }, { value: 2 }), { nil: null }),
})
const someChanges = fc.uniqueArray(someChange, { selector: ({ kind, key }) => `${kind} ${key}` })

test('a plan brings what is present to what is wanted, and nothing more', () => {
  fc.assert(
    fc.property(someChanges, someChanges, (before, wanted) => {
      const present = new Map<string, unknown>()
      for (const { kind, key, payload } of before) if (payload !== null) present.set(`${kind} ${key}`, payload)
      const plan = planChanges(wanted, present)
      for (const { kind, key, payload } of plan) {
        expect(present.get(`${kind} ${key}`) ?? null).not.toEqual(payload)
        present.set(`${kind} ${key}`, payload)
      }
      for (const { kind, key, payload } of wanted) expect(present.get(`${kind} ${key}`) ?? null).toEqual(payload)
      expect(planChanges(wanted, present)).toEqual([])
    }),
  )
})

test('in a plan nothing is written before what it points at, and nothing deleted before what points at it', () => {
  fc.assert(
    fc.property(someChanges, (wanted) => {
      const present = new Map<string, unknown>(
        wanted.filter(({ payload }) => payload === null).map(({ kind, key }) => [`${kind} ${key}`, { value: 3 }]),
      )
      const plan = planChanges(wanted, present)
      expect(plan).toHaveLength(wanted.length)
      const isDelete = plan.map(({ payload }) => payload === null)
      expect(isDelete).toEqual([...isDelete].sort((a, b) => Number(a) - Number(b)))
      const ranks = (isWanted: boolean): number[] =>
        plan.filter(({ payload }) => (payload === null) === isWanted).map(({ kind }) => recordKinds.indexOf(kind))
      expect(ranks(false)).toEqual(ranks(false).sort((a, b) => a - b))
      expect(ranks(true)).toEqual(ranks(true).sort((a, b) => b - a))
    }),
  )
})

test('keys come once, and what is no key is left out', () => {
  const site = { kind: 'site', key: '01a20975-a15a-76bd-bd1c-c4720916c832' } as const
  const keys = [site, site, { kind: 'site', key: "x'" }, { kind: 'nothing', key: 'x' }] as never[]
  expect(distinctKeys(keys)).toEqual([site])
})
