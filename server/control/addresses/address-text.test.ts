import { isIP } from 'node:net'
import fc from 'fast-check'
import pg from 'pg'
import { expect, test } from 'vitest'
import { createTestDatabase } from '../../test/database.ts'
import { AppError } from '../errors.ts'
import { addressesOfCidr, addressesOfRange, canonicalAddress, scopeOf } from './address-text.ts'

function codeOf(work: () => unknown): string {
  try {
    return `no error: ${JSON.stringify(work())}`
  } catch (error) {
    if (error instanceof AppError) return error.code
    throw error
  }
}

test.each([
  ['203.0.113.7', '203.0.113.7'],
  [' 203.0.113.7 ', '203.0.113.7'],
  ['2001:0DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ['::FFFF:203.0.113.7', '203.0.113.7'],
  ['::ffff:cb00:7107', '203.0.113.7'],
  ['::1', '::1'],
  ['fd00:1::0a', 'fd00:1::a'],
  ['127.0.0.2', '127.0.0.2'],
])('%s is written %s', (text, canonical) => {
  expect(canonicalAddress(text, 'address')).toBe(canonical)
})

test.each([
  ...['', 'localhost', '1.2.3', '1.2.3.4/32', '01.2.3.4', '1.2.3.256', '2001:db8:::1', '[::1]'],
  ...['0.0.0.0', '0.1.2.3', '255.255.255.255', '224.0.0.1', '239.1.1.1', '240.0.0.1'],
  ...['::', 'ff02::1', 'fe80::1', 'fe80::1%eth0', 'FEBF::1', '::1.2.3.4', '::ffff:0.0.0.0', '::ffff:224.0.0.1'],
])('%s is refused', (text) => {
  expect(codeOf(() => canonicalAddress(text, 'address'))).toBe('ADDRESS_INVALID')
})

test('the scope of an address', () => {
  for (const address of ['127.0.0.1', '127.8.9.10', '::1']) expect(scopeOf(address)).toBe('loopback')
  for (const address of ['10.0.0.1', '192.168.1.1', '100.64.0.1', 'fd00::1']) expect(scopeOf(address)).toBe('private')
  for (const address of ['8.8.8.8', '2606:4700::1111']) expect(scopeOf(address)).toBe('public')
})

test('a CIDR means its host addresses', () => {
  expect(addressesOfCidr('203.0.113.0/29')).toEqual([1, 2, 3, 4, 5, 6].map((n) => `203.0.113.${n}`))
  expect(addressesOfCidr('203.0.113.4/31')).toEqual(['203.0.113.4', '203.0.113.5'])
  expect(addressesOfCidr('203.0.113.4/32')).toEqual(['203.0.113.4'])
  expect(addressesOfCidr('10.0.0.0/22')).toHaveLength(1022)
  expect(addressesOfCidr('fd00:1::/126')).toEqual(['fd00:1::1', 'fd00:1::2', 'fd00:1::3'])
  expect(addressesOfCidr('fd00:1::ff/128')).toEqual(['fd00:1::ff'])
  for (const text of ['10.0.0.0/21', 'fd00::/64', '0.0.0.0/0', '::/0']) {
    expect(codeOf(() => addressesOfCidr(text))).toBe('INVALID_INPUT')
  }
  for (const text of ['203.0.113.5/29', '203.0.113.0/33', '203.0.113.0/', 'x/8', '224.0.0.0/30']) {
    expect(codeOf(() => addressesOfCidr(text))).toBe('ADDRESS_INVALID')
  }
  expect(() => addressesOfCidr('203.0.113.5/29')).toThrow('203.0.113.0/29')
})

test('a range means all from the first to the last', () => {
  expect(addressesOfRange('203.0.113.254 - 203.0.114.1')).toEqual([
    ...['203.0.113.254', '203.0.113.255', '203.0.114.0', '203.0.114.1'],
  ])
  expect(addressesOfRange('fd00::fffe-fd00::1:0')).toEqual(['fd00::fffe', 'fd00::ffff', 'fd00::1:0'])
  expect(addressesOfRange('10.0.0.1-10.0.4.0')).toHaveLength(1024)
  expect(codeOf(() => addressesOfRange('10.0.0.1-10.0.4.1'))).toBe('INVALID_INPUT')
  for (const text of ['10.0.0.1', '10.0.0.2-10.0.0.1', '10.0.0.1-fd00::1', '10.0.0.1-', '1.1.1.1-1.1.1.2-1.1.1.3']) {
    expect(codeOf(() => addressesOfRange(text))).toBe('ADDRESS_INVALID')
  }
})

test('every spelling has one canonical text, and PostgreSQL writes it the same', async () => {
  const texts: string[] = []
  fc.assert(
    fc.property(fc.oneof(fc.ipV6(), fc.ipV4()), (text) => {
      if (codeOf(() => canonicalAddress(text, 'address')) === 'ADDRESS_INVALID') return
      const canonical = canonicalAddress(text, 'address')
      texts.push(canonical)
      expect(isIP(canonical)).not.toBe(0)
      expect(canonicalAddress(canonical.toUpperCase(), 'address')).toBe(canonical)
      expect(addressesOfRange(`${text}-${canonical}`)).toEqual([canonical])
    }),
    { numRuns: 2_000 },
  )
  expect(texts.length).toBeGreaterThan(500)
  await using database = await createTestDatabase()
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  try {
    const { rows } = await client.query('select t from unnest($1::text[]) t where t <> host(t::inet)', [texts])
    expect(rows).toEqual([])
  } finally {
    await client.end()
  }
})
