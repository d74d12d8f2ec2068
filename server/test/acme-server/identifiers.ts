import { isIP, isIPv4 } from 'node:net'
import type { Identifier } from './identifier.ts'
import { AcmeProblem, type Subproblem } from './problem.ts'

const LABEL = /^(?!-)[a-z0-9-]{1,63}(?<!-)$/
/** Most identifiers that are looked at before the profile's own limit counts. */
const MOST_IDENTIFIERS = 1_000

/**
 * The identifiers of newOrder: lower case, each once, in the order given. Throws `malformed`, `unsupportedIdentifier` or
 * `rejectedIdentifier`; of several bad ones each is a subproblem (RFC 8555 section 6.7.1).
 */
export function readIdentifiers(value: unknown, isRejected: (name: string) => boolean): Identifier[] {
  if (!Array.isArray(value) || value.length === 0)
    throw new AcmeProblem('malformed', 'NewOrder request did not specify any identifiers')
  if (value.length > MOST_IDENTIFIERS)
    throw new AcmeProblem('malformed', `Order cannot contain more than ${MOST_IDENTIFIERS} identifiers`)
  const unique = new Map<string, Identifier>()
  const problems: Subproblem[] = []
  for (const item of value as readonly { type?: unknown; value?: unknown }[]) {
    const identifier = readIdentifier(item)
    const fault = faultOf(identifier, isRejected)
    if (fault !== null) problems.push({ ...fault, identifier })
    unique.set(identifier.value, identifier)
  }
  const [first] = problems
  if (first === undefined) return [...unique.values()]
  if (problems.length === 1) throw new AcmeProblem(first.type, first.detail, { subproblems: problems })
  const detail = `Cannot issue for "${first.identifier.value}": ${first.detail} (and ${problems.length - 1} more problems. Refer to sub-problems for more information.)`
  throw new AcmeProblem(first.type, detail, { subproblems: problems })
}

/** The name that is validated: without `*.`. */
export function baseOf(name: string): string {
  return name.startsWith('*.') ? name.slice(2) : name
}

/** One key for a set of names, whatever their order. */
export function setKey(names: readonly string[]): string {
  return [...names].sort().join(',')
}

/** What a client dials for an IP identifier in SNI: its reverse name (RFC 8738 section 6). */
export function reverseName(address: string): string {
  if (isIPv4(address)) return `${address.split('.').reverse().join('.')}.in-addr.arpa`
  const nibbles = addressBytes(address).toString('hex')
  return `${[...nibbles].reverse().join('.')}.ip6.arpa`
}

/** The 4 or 16 octets of an IP address, as iPAddress names hold them. */
export function addressBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number))
  const [head = '', tail] = address.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? [] : Array.from({ length: 8 - left.length - right.length }, () => '0')
  return Buffer.from([...left, ...zeros, ...right].map((group) => group.padStart(4, '0')).join(''), 'hex')
}

/** The text form of an iPAddress name's octets (RFC 5952 for IPv6). Throws `RangeError` for another length. */
export function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return [...bytes].join('.')
  if (bytes.length !== 16) throw new RangeError('an iPAddress of 4 or 16 octets')
  return canonicalIPv6(bytes.toString('hex').match(/.{4}/g)?.join(':') ?? '')
}

function canonicalIPv6(address: string): string {
  return new URL(`http://[${address}]/`).hostname.slice(1, -1)
}

function readIdentifier(item: { type?: unknown; value?: unknown } | null): Identifier {
  if (typeof item?.type !== 'string' || typeof item.value !== 'string') {
    throw new AcmeProblem('malformed', 'An identifier needs a type and a value')
  }
  if (item.type !== 'dns' && item.type !== 'ip') {
    throw new AcmeProblem(
      'unsupportedIdentifier',
      `NewOrder request included unsupported identifier type "${item.type}"`,
    )
  }
  return { type: item.type, value: item.value.toLowerCase() }
}

function faultOf(
  { type, value }: Identifier,
  isRejected: (name: string) => boolean,
): Omit<Subproblem, 'identifier'> | null {
  const malformed = (detail: string): Omit<Subproblem, 'identifier'> => ({ type: 'malformed', detail })
  const rejected = (detail: string): Omit<Subproblem, 'identifier'> => ({ type: 'rejectedIdentifier', detail })
  if (type === 'ip') {
    if (isIP(value) === 0) return malformed('IP address is invalid')
    return isIP(value) === 6 && canonicalIPv6(value) !== value
      ? malformed('IP address is not in its shortest form (RFC 5952)')
      : null
  }
  if (isIP(value) !== 0) return rejected('The ACME server can not issue a certificate for an IP address')
  if (value.length === 0 || baseOf(value).length > 253)
    return malformed('Domain name is empty or longer than 253 bytes')
  if (value.endsWith('.')) return malformed('Domain name ends in a dot')
  const labels = baseOf(value).split('.')
  if (labels.some((label) => label.includes('*'))) return malformed('Wildcard only as the whole leftmost label')
  if (!labels.every((label) => LABEL.test(label)))
    return malformed('Domain name contains an invalid character or label')
  if (labels.length < 2) return rejected('Domain name needs at least one dot')
  return isRejected(baseOf(value))
    ? rejected('The ACME server refuses to issue a certificate for this domain name, because it is forbidden by policy')
    : null
}
