import type { IncomingHttpHeaders } from 'node:http'
import { BlockList, isIP } from 'node:net'

/** A CDN, by what it publishes or answers with. Few ranges: those that its customers' names lead to. */
type Cdn = {
  readonly name: string
  readonly ranges: readonly string[]
  /** Ends of alias targets. */
  readonly aliases: readonly string[]
  /** Header fields that it adds; with a value: what that begins with. */
  readonly fields: readonly (readonly [string, string])[]
}

/** Sources: cloudflare.com/ips, api.fastly.com/public-ip-list, ip-ranges.amazonaws.com (CLOUDFRONT), 2026-11. */
const cdns: readonly Cdn[] = [
  {
    name: 'Cloudflare',
    ranges: [
      '173.245.48.0/20',
      '103.21.244.0/22',
      '103.22.200.0/22',
      '103.31.4.0/22',
      '141.101.64.0/18',
      '108.162.192.0/18',
      '190.93.240.0/20',
      '188.114.96.0/20',
      '197.234.240.0/22',
      '198.41.128.0/17',
      '162.158.0.0/15',
      '104.16.0.0/13',
      '104.24.0.0/14',
      '172.64.0.0/13',
      '131.0.72.0/22',
      '2400:cb00::/32',
      '2606:4700::/32',
      '2803:f800::/32',
      '2405:b500::/32',
      '2405:8100::/32',
      '2a06:98c0::/29',
      '2c0f:f248::/32',
    ],
    aliases: ['cdn.cloudflare.net'],
    fields: [
      ['cf-ray', ''],
      ['server', 'cloudflare'],
    ],
  },
  {
    name: 'Fastly',
    ranges: ['151.101.0.0/16', '199.232.0.0/16', '146.75.0.0/16', '2a04:4e40::/32', '2a04:4e42::/32'],
    aliases: ['fastly.net', 'fastlylb.net'],
    fields: [
      ['x-fastly-request-id', ''],
      ['x-served-by', 'cache-'],
    ],
  },
  {
    name: 'Amazon CloudFront',
    ranges: [
      '13.32.0.0/15',
      '13.224.0.0/14',
      '18.64.0.0/14',
      '52.84.0.0/15',
      '54.192.0.0/16',
      '54.230.0.0/16',
      '99.84.0.0/16',
      '108.138.0.0/15',
      '108.156.0.0/14',
      '143.204.0.0/16',
      '205.251.192.0/19',
      '2600:9000:2000::/36',
    ],
    aliases: ['cloudfront.net'],
    fields: [['x-amz-cf-id', '']],
  },
  {
    name: 'Akamai',
    ranges: [],
    aliases: ['edgekey.net', 'edgesuite.net', 'akamaiedge.net', 'akamaized.net'],
    fields: [['server', 'akamaighost']],
  },
  { name: 'Bunny', ranges: [], aliases: ['b-cdn.net'], fields: [['server', 'bunnycdn']] },
  { name: 'Azure Front Door', ranges: [], aliases: ['azurefd.net', 'azureedge.net'], fields: [['x-azure-ref', '']] },
  { name: 'Imperva', ranges: [], aliases: ['incapdns.net', 'impervadns.net'], fields: [['x-iinfo', '']] },
  { name: 'Sucuri', ranges: [], aliases: ['sucuri.net'], fields: [['x-sucuri-id', '']] },
]

const lists = cdns.map(({ name, ranges }) => {
  const families = { 4: new BlockList(), 6: new BlockList() }
  for (const range of ranges) {
    const [address = '', prefix] = range.split('/')
    const family = isIP(address) === 6 ? 6 : 4
    families[family].addSubnet(address, Number(prefix), family === 6 ? 'ipv6' : 'ipv4')
  }
  return { name, families }
})

/** The CDN that an address belongs to, or null. */
export function cdnOfAddress(address: string): string | null {
  const family = isIP(address)
  if (family !== 4 && family !== 6) return null
  return lists.find(({ families }) => families[family].check(address, `ipv${family}`))?.name ?? null
}

/** The CDN whose name an alias leads to, or null. */
export function cdnOfAlias(target: string): string | null {
  return cdns.find(({ aliases }) => aliases.some((end) => target === end || target.endsWith(`.${end}`)))?.name ?? null
}

/** The CDN that the head of an HTTP answer tells of, or null. */
export function cdnOfHead(headers: IncomingHttpHeaders): string | null {
  const has = ([field, start]: readonly [string, string]): boolean => {
    const value = headers[field]
    return typeof value === 'string' && value.toLowerCase().startsWith(start)
  }
  return cdns.find(({ fields }) => fields.some(has))?.name ?? null
}
