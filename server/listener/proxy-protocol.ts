import { isIP } from 'node:net'
import { unmapped } from '../contract/reach.ts'

/** The twelve bytes that version 2 begins with. */
const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')
const V1 = Buffer.from('PROXY ')
/** Longest line of version 1, with its end (specification section 2.1). */
const MAX_LINE_BYTES = 107
const V2_HEAD_BYTES = 16
/** Longest rest of version 2 that is accepted: addresses and what a load balancer adds to them. */
const MAX_V2_BYTES = 2_048

/** Who was connected with whom, as the proxy in front saw it. */
export type Announced = { readonly remoteAddress: string; readonly localAddress: string }

/**
 * What the first bytes are under the PROXY protocol. `header`: it takes `length` bytes, what follows is the client's;
 * `announced` is null when the proxy speaks for itself (health checks) or does not know.
 */
export type ProxyHeader =
  | { readonly kind: 'need-more'; readonly atLeast: number }
  | { readonly kind: 'header'; readonly length: number; readonly announced: Announced | null }
  | { readonly kind: 'bad' }

/**
 * Reads a header of the PROXY protocol, version 1 or 2 (HAProxy's proxy-protocol.txt, 2020/03/05), at the start of
 * `bytes`, all that came so far. Pure; never throws.
 */
export function parseProxyHeader(bytes: Buffer): ProxyHeader {
  if (startsAs(bytes, SIGNATURE)) return parseV2(bytes)
  if (startsAs(bytes, V1)) return parseV1(bytes)
  return { kind: 'bad' }
}

/** Whether `bytes` begin with `head`, as far as they go. */
function startsAs(bytes: Buffer, head: Buffer): boolean {
  const length = Math.min(bytes.length, head.length)
  return bytes.subarray(0, length).equals(head.subarray(0, length))
}

function parseV1(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, MAX_LINE_BYTES).indexOf('\r\n')
  if (end < 0) return bytes.length >= MAX_LINE_BYTES ? { kind: 'bad' } : needMore(bytes.length + 1)
  const length = end + 2
  const [, protocol, source = '', destination = '', sourcePort, destinationPort, ...rest] = bytes
    .toString('latin1', 0, end)
    .split(' ')
  if (protocol === 'UNKNOWN') return { kind: 'header', length, announced: null }
  const family = protocol === 'TCP4' ? 4 : protocol === 'TCP6' ? 6 : null
  const isWhole = isPort(sourcePort) && isPort(destinationPort) && rest.length === 0
  if (family === null || !isWhole || isIP(source) !== family || isIP(destination) !== family) return { kind: 'bad' }
  return { kind: 'header', length, announced: announce(source, destination) }
}

function parseV2(bytes: Buffer): ProxyHeader {
  if (bytes.length < V2_HEAD_BYTES) return needMore(V2_HEAD_BYTES)
  const [versionAndCommand = 0, familyAndProtocol = 0] = bytes.subarray(SIGNATURE.length)
  const rest = bytes.readUInt16BE(14)
  const command = versionAndCommand & 15
  if (versionAndCommand >> 4 !== 2 || command > 1 || rest > MAX_V2_BYTES) return { kind: 'bad' }
  const length = V2_HEAD_BYTES + rest
  if (bytes.length < length) return needMore(length)
  if (command === 0 || familyAndProtocol === 0) return { kind: 'header', length, announced: null }
  const addressBytes = familyAndProtocol === 0x11 ? 4 : familyAndProtocol === 0x21 ? 16 : null
  if (addressBytes === null || rest < 2 * addressBytes + 4) return { kind: 'bad' }
  const address = (at: number): string => addressText(bytes.subarray(at, at + addressBytes))
  return {
    kind: 'header',
    length,
    announced: announce(address(V2_HEAD_BYTES), address(V2_HEAD_BYTES + addressBytes)),
  }
}

function announce(source: string, destination: string): Announced {
  return { remoteAddress: canonical(source), localAddress: canonical(destination) }
}

/** The one text of an address that records use as well (RFC 5952). */
function canonical(address: string): string {
  if (isIP(address) !== 6) return address
  return unmapped(mappedText(new URL(`http://[${address}]`).hostname.slice(1, -1)))
}

/** `::ffff:c000:201` as `::ffff:192.0.2.1`. */
function mappedText(address: string): string {
  const match = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(address)
  if (match === null) return address
  const [high, low] = [Number.parseInt(match[1] ?? '', 16), Number.parseInt(match[2] ?? '', 16)]
  return `::ffff:${[high >> 8, high & 255, low >> 8, low & 255].join('.')}`
}

function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return [...bytes].join('.')
  return Array.from({ length: 8 }, (_, at) => bytes.readUInt16BE(at * 2).toString(16)).join(':')
}

function needMore(atLeast: number): ProxyHeader {
  return { kind: 'need-more', atLeast }
}

function isPort(text: string | undefined): boolean {
  return text !== undefined && /^\d{1,5}$/.test(text) && Number(text) <= 65_535
}
