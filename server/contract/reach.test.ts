import { expect, test } from 'vitest'
import { CidrError, createReach, parseCidr } from './reach.ts'

test.each([
  '127.0.0.1',
  '10.1.2.3',
  '172.31.255.255',
  '192.168.0.1',
  '169.254.169.254',
  '100.64.0.1',
  '0.0.0.0',
  '224.0.0.1',
  '255.255.255.255',
  '::',
  '::1',
  '::ffff:127.0.0.1',
  'fe80::1',
  'fd00::1',
  'ff02::1',
  '64:ff9b::7f00:1',
  '2002:7f00:1::',
  '2001:db8::1',
  'no address',
])('%s is not dialled for a tenant', (address) => expect(createReach([])(address)).toBe(false))

test.each(['9.9.9.9', '::ffff:9.9.9.9', '2620:fe::fe'])('%s is', (address) =>
  expect(createReach([])(address)).toBe(true),
)

test('an admin may allow more, exactly that', () => {
  const reach = createReach(['10.0.0.0/24', 'fd00::/64', '127.0.0.9'])
  expect(['10.0.0.9', '::ffff:10.0.0.9', 'fd00::5', '127.0.0.9'].every(reach)).toBe(true)
  expect(['10.0.1.9', 'fd00:0:0:1::5', '127.0.0.1'].some(reach)).toBe(false)
})

test.each(['10.0.0.0/33', '10.0.0.0/', '10.0.0/8', 'fd00::/129', '1.1.1.1/8/8', ''])('"%s" is no CIDR', (text) =>
  expect(() => parseCidr(text)).toThrow(CidrError),
)
