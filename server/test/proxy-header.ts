import { isIP } from 'node:net'

/** What differs from a usual header. */
export type ProxyV2Options = {
  readonly version?: number
  readonly command?: number
  /** 1: stream. */
  readonly protocol?: number
  readonly rest?: Buffer
}

/** A header of the PROXY protocol, version 2, as a load balancer sends it. */
export function proxyV2(source: string, destination: string, options: ProxyV2Options = {}): Buffer {
  const { version = 2, command = 1, protocol = 1, rest = Buffer.alloc(0) } = options
  const family = isIP(source) === 4 ? 1 : 2
  const ports = Buffer.of(0x12, 0x67, 1, 0xbb)
  const body = Buffer.concat([bytesOf(source), bytesOf(destination), ports, rest])
  const head = Buffer.of((version << 4) | command, (family << 4) | protocol, body.length >> 8, body.length & 255)
  return Buffer.concat([Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'), head, body])
}

function bytesOf(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number))
  const mapped = /^::ffff:(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address)
  if (mapped !== null) {
    return Buffer.concat([Buffer.alloc(10), Buffer.of(255, 255), Buffer.from(mapped.slice(1).map(Number))])
  }
  const [front = '', back = ''] = address.split('::')
  const [left, right] = [front, back].map((text) => (text === '' ? [] : text.split(':')))
  const groups = [...(left ?? []), ...Array(8 - (left?.length ?? 0) - (right?.length ?? 0)).fill('0'), ...(right ?? [])]
  return Buffer.from(groups.map((group) => String(group).padStart(4, '0')).join(''), 'hex')
}
