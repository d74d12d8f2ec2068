import { isIP, SocketAddress } from 'node:net'
import { networkInterfaces } from 'node:os'

/** The addresses of this machine's interfaces, in canonical text. */
export function interfaceAddresses(): ReadonlySet<string> {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  return new Set(all.map(({ address }) => canonical(address)))
}

/** Whether a machine with these interfaces has this address; all of 127.0.0.0/8 is the loopback's (RFC 1122). */
export function isOwn(address: string, interfaces: ReadonlySet<string>): boolean {
  return address.startsWith('127.') || interfaces.has(address)
}

function canonical(address: string): string {
  return new SocketAddress({ address, family: isIP(address) === 4 ? 'ipv4' : 'ipv6' }).address
}
