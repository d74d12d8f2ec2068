import { isIP, SocketAddress } from 'node:net'
import { CidrError, createReach, parseCidr, unmapped } from '../../contract/reach.ts'
import { AppError } from '../errors.ts'

/** Most addresses that one call adds. */
export const MAX_ADDRESSES = 1024

/** Where an address can be reached from. */
export type Scope = 'loopback' | 'private' | 'public'

const isPublic = createReach([])

/**
 * The one spelling of an address: dotted IPv4, RFC 5952 for IPv6, an IPv4-mapped one as IPv4. Throws
 * ADDRESS_INVALID for what is no address of one machine; `field` names it.
 */
export function canonicalAddress(text: string, field: string): string {
  const trimmed = text.trim()
  if (trimmed.includes('%')) throw invalid(field, text, 'has a zone; write the address alone')
  const family = isIP(trimmed)
  if (family === 0) throw invalid(field, text, 'is not an IPv4 or IPv6 address')
  const spelt = new SocketAddress({ address: trimmed, family: family === 4 ? 'ipv4' : 'ipv6' }).address
  const address = unmapped(spelt)
  const reason = unusable(address)
  if (reason !== null) throw invalid(field, text, reason)
  return address
}

/** Loopback, private (RFC 1918, 4193, 6598, link-local and other special ones), or public. */
export function scopeOf(address: string): Scope {
  if (address === '::1' || address.startsWith('127.')) return 'loopback'
  return isPublic(address) ? 'public' : 'private'
}

/**
 * The host addresses of a CIDR in order: without network and broadcast (IPv4) or the subnet-router
 * anycast (IPv6, RFC 4291 section 2.6.1), unless it is too small to have them (RFC 3021, RFC 6164).
 * Throws ADDRESS_INVALID, and INVALID_INPUT above `MAX_ADDRESSES`.
 */
export function addressesOfCidr(text: string): string[] {
  const { address, prefix, family } = readCidr(text)
  const bits = family === 4 ? 32 : 128
  const first = toNumber(address)
  const size = 1n << BigInt(bits - prefix)
  if (first % size !== 0n) {
    const network = `${toText(first - (first % size), family)}/${prefix}`
    throw invalid('cidr', text, `does not begin where such a network begins; ${network} does`)
  }
  const isSmall = bits - prefix <= 1
  const last = first + size - 1n - (family === 4 && !isSmall ? 1n : 0n)
  return expand(isSmall ? first : first + 1n, last, family, 'cidr')
}

/** All addresses from the first to the last of `first-last`. Throws as `addressesOfCidr` does. */
export function addressesOfRange(text: string): string[] {
  const [from, to, ...rest] = text.split('-')
  if (from === undefined || to === undefined || rest.length > 0) {
    throw invalid('range', text, 'is not a range; write first and last, e.g. 203.0.113.4-203.0.113.9')
  }
  const [first, last] = [canonicalAddress(from, 'range'), canonicalAddress(to, 'range')]
  if (isIP(first) !== isIP(last)) throw invalid('range', text, 'mixes IPv4 and IPv6')
  if (toNumber(first) > toNumber(last)) throw invalid('range', text, 'ends before it begins')
  return expand(toNumber(first), toNumber(last), isIP(first) === 4 ? 4 : 6, 'range')
}

function expand(first: bigint, last: bigint, family: 4 | 6, field: string): string[] {
  const count = last - first + 1n
  if (count > BigInt(MAX_ADDRESSES)) {
    throw new AppError('INVALID_INPUT', `${field}: at most ${MAX_ADDRESSES} addresses at once; add them in parts.`, {
      errors: [{ field, detail: `holds more than ${MAX_ADDRESSES} addresses` }],
    })
  }
  return Array.from({ length: Number(count) }, (_, index) =>
    canonicalAddress(toText(first + BigInt(index), family), field),
  )
}

function readCidr(text: string): { address: string; prefix: number; family: 4 | 6 } {
  try {
    return parseCidr(text)
  } catch (error) {
    if (error instanceof CidrError) throw invalid('cidr', text, 'is not a CIDR; write e.g. 203.0.113.0/28')
    throw error
  }
}

/** Why no listener can have this address for itself, or null. */
function unusable(address: string): string | null {
  if (address === '0.0.0.0' || address === '::') return 'stands for every address; write a single one'
  if (address === '255.255.255.255') return 'is the broadcast address'
  if (isIP(address) === 4) {
    const first = Number(address.split('.', 1)[0])
    if (first === 0) return 'is in 0.0.0.0/8, which no machine has'
    return first >= 224 ? 'is a multicast or reserved address' : null
  }
  if (address.startsWith('ff')) return 'is a multicast address'
  if (/^fe[89ab]/.test(address)) return 'is link-local, which needs a zone; use another address of that machine'
  return toNumber(address) >> 32n === 0n && address !== '::1' ? 'is an obsolete IPv4-compatible address' : null
}

function toNumber(address: string): bigint {
  if (isIP(address) === 4) return address.split('.').reduce((sum, part) => (sum << 8n) + BigInt(part), 0n)
  const [head = '', tail] = dotted(address).split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => '0')
  return [...left, ...zeros, ...right].reduce((sum, group) => (sum << 16n) + BigInt(`0x${group}`), 0n)
}

/** An IPv6 text that ends in dotted IPv4, with two groups instead. */
function dotted(address: string): string {
  return address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) => {
    const group = (high: string, low: string): string => (Number(high) * 256 + Number(low)).toString(16)
    return `${group(a, b)}:${group(c, d)}`
  })
}

function toText(value: bigint, family: 4 | 6): string {
  const [count, bits, radix, separator] = family === 4 ? [4, 8n, 10, '.'] : [8, 16n, 16, ':']
  const mask = (1n << (bits as bigint)) - 1n
  return Array.from({ length: count as number }, (_, index) =>
    ((value >> (BigInt((count as number) - 1 - index) * (bits as bigint))) & mask).toString(radix as number),
  ).join(separator as string)
}

function invalid(field: string, text: string, reason: string): AppError {
  return new AppError('ADDRESS_INVALID', `"${text.slice(0, 100)}" ${reason}.`, { errors: [{ field, detail: reason }] })
}
