import { BlockList, isIP } from 'node:net'

/** A CIDR text that cannot be read. */
export class CidrError extends Error {
  override name = 'CidrError'
}

/** Networks that no tenant may make us dial (RFC 6890 and its registries; metadata is link-local). */
const special4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
]
const special6 = ['::/3', 'fc00::/7', 'fe80::/9', 'ff00::/8', '2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20']

/** Whether an address may be dialled on behalf of a tenant. */
export type Reach = (address: string) => boolean

/**
 * The rule for outgoing connections: public addresses, and what an admin allows besides
 * (`NAMEPLATE_OUTBOUND_ALLOW`). IPv4 addresses inside IPv6 are judged as IPv4. Throws `CidrError`.
 */
export function createReach(allowedCidrs: readonly string[]): Reach {
  const allowed = cidrSet(allowedCidrs)
  const special = cidrSet([...special4, ...special6])
  return (address) => {
    const plain = unmapped(address)
    return isIP(plain) !== 0 && (allowed(plain) || !special(plain))
  }
}

/** Parses `10.0.0.0/8` or a single address. Throws `CidrError`. */
export function parseCidr(text: string): { address: string; prefix: number; family: 4 | 6 } {
  const [address = '', bits, rest] = text.trim().split('/')
  const family = isIP(address)
  const most = family === 4 ? 32 : 128
  const prefix = bits === undefined ? most : /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN
  if (family === 0 || rest !== undefined || !(prefix <= most))
    throw new CidrError(`"${text}" is not an address or CIDR`)
  return { address, prefix, family: family as 4 | 6 }
}

/** Strips the `::ffff:` of an IPv4 address that came in over an IPv6 socket. */
export function unmapped(address: string): string {
  return address.startsWith('::ffff:') && isIP(address.slice(7)) === 4 ? address.slice(7) : address
}

/** A list for each family: one list would find an IPv4 address in `::/3` by its mapped form. */
function cidrSet(cidrs: readonly string[]): (address: string) => boolean {
  const lists = { 4: new BlockList(), 6: new BlockList() }
  for (const cidr of cidrs) {
    const { address, prefix, family } = parseCidr(cidr)
    lists[family].addSubnet(address, prefix, family === 4 ? 'ipv4' : 'ipv6')
  }
  return (address) => (isIP(address) === 4 ? lists[4].check(address, 'ipv4') : lists[6].check(address, 'ipv6'))
}
