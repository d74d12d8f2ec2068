import fc from 'fast-check'
import { expect, test } from 'vitest'
import { availableAt, type Bucket, blocked, fullBucket, refunded, spent } from './ledger.ts'
import { registeredDomain, setKey } from './ledger-store.ts'
import { limitOf, limitsOf } from './limits.ts'

const START = new Date('2026-11-23T00:00:00Z')
const at = (ms: number): Date => new Date(START.getTime() + ms)
const limit = { capacity: 5, periodSeconds: 50 }

test('whatever is asked for and when, no stretch of time sees more than the capacity and what came back in it', () => {
  const steps = fc.array(fc.integer({ min: 0, max: 20_000 }), { minLength: 1, maxLength: 200 })
  fc.assert(
    fc.property(steps, (gaps) => {
      let bucket: Bucket = fullBucket(limit, START)
      let now = 0
      const grants: number[] = []
      for (const gap of gaps) {
        now += gap
        const next = spent(bucket, limit, at(now))
        if (next === null) continue
        bucket = next
        grants.push(now)
      }
      const allowed = (fromMs: number, toMs: number) =>
        limit.capacity + ((toMs - fromMs) / 1_000) * (limit.capacity / limit.periodSeconds)
      for (const from of grants) {
        const count = grants.filter((time) => time >= from).length
        expect(count).toBeLessThanOrEqual(allowed(from, now) + 1e-9)
      }
    }),
  )
})

test('a token is there when it was said to be, and not before', () => {
  let bucket: Bucket = fullBucket(limit, START)
  for (let index = 0; index < 5; index += 1) bucket = spent(bucket, limit, START) ?? bucket
  expect(spent(bucket, limit, START)).toBeNull()
  const time = availableAt(bucket, limit, START)
  expect(time).toEqual(at(10_000))
  expect(spent(bucket, limit, at(9_999))).toBeNull()
  expect(spent(bucket, limit, time)).not.toBeNull()
  expect(availableAt(bucket, limit, START, 4)).toEqual(at(50_000))
  expect(spent(refunded(bucket, limit, START), limit, START)).not.toBeNull()
})

test('what the CA said overrules the count, and a clock that goes back gives nothing', () => {
  const bucket = blocked(at(100_000), START)
  expect(spent(bucket, limit, at(99_999))).toBeNull()
  expect(spent(bucket, limit, at(100_001))).not.toBeNull()
  const empty = { tokens: 0, updatedAt: at(60_000), blockedUntil: null }
  expect(spent(empty, limit, START)).toBeNull()
})

test.each([
  ['too many new orders (300) from this account in the last 3h0m0s, retry after 2026-01-01 00:00:00 UTC', 'newOrders'],
  ['too many certificates (50) already issued for "example.com" in the last 168h0m0s', 'certificatesPerDomain'],
  [
    'too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s',
    'certificatesPerSet',
  ],
  ['too many failed authorizations (5) for "www.example.com" in the last 1h0m0s', 'failuresPerName'],
  ['slow down', null],
] as const)('"%s" speaks of %s', (detail, name) => {
  expect(limitOf(detail)).toBe(name)
})

test('known CAs have their limits, others none, and an administrator overrules both', () => {
  const directoryUrl = 'https://acme-v02.api.letsencrypt.org/directory'
  expect(limitsOf({ directoryUrl, limits: null })).toMatchObject({
    newOrders: { capacity: 300 },
    exemptsReplacements: true,
  })
  expect(limitsOf({ directoryUrl, limits: { newOrders: null } }).newOrders).toBeNull()
  expect(limitsOf({ directoryUrl: 'https://ca.test/dir', limits: null }).newOrders).toBeNull()
})

test('names are counted as CAs count them', () => {
  expect(registeredDomain('*.shop.example.co.uk')).toBe('example.co.uk')
  expect(registeredDomain('www.a.github.io')).toBe('a.github.io')
  expect(setKey(['b.test', 'A.test'])).toBe(setKey(['a.test', 'b.test', 'a.test']))
})
