import { isIP, SocketAddress } from 'node:net'

/** Addresses that are looked at for one name. */
const MAX_TARGETS = 4

/** Addresses by what they are to a name. */
export type TargetChoice = {
  /** What the DNS says. */
  readonly found: readonly string[]
  /** Where tenants are told to point their names, as an admin has set it. */
  readonly publicAddresses: readonly string[]
  /** The site's own addresses. */
  readonly dedicated: readonly string[]
  /** Whether an address may be dialled at all. */
  readonly reach: (address: string) => boolean
}

/**
 * The addresses at which a name is looked at: those of its DNS that are ours; where it leads elsewhere (a CDN in
 * front, a name that has not moved yet), ours all the same, since what others serve is not ours to judge. Where no
 * address is set up as ours, those of the DNS. Never one that may not be dialled; an admin's public addresses may.
 */
export function probeTargets({ found, publicAddresses, dedicated, reach }: TargetChoice): string[] {
  const own = new Set([...publicAddresses, ...dedicated].map(canonical))
  const allowed = new Set(publicAddresses.map(canonical))
  const there = found.filter((address) => isIP(address) !== 0).map(canonical)
  const ofDns = own.size === 0 ? there : there.filter((address) => own.has(address))
  const chosen = ofDns.length > 0 || own.size === 0 ? ofDns : [...own]
  return [...new Set(chosen)].filter((address) => allowed.has(address) || reach(address)).slice(0, MAX_TARGETS)
}

function canonical(address: string): string {
  return new SocketAddress({ address, family: isIP(address) === 6 ? 'ipv6' : 'ipv4' }).address
}
