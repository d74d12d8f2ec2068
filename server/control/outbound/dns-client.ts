import { getServers } from 'node:dns'
import type { Reach } from '../../contract/reach.ts'
import type { DnsTarget } from './dns-exchange.ts'
import { type DnsLimits, type DnsQueryType, type DnsReply, queryDns } from './dns-query.ts'
import { readServer } from './server-text.ts'

const DNS_PORT = 53
/** More resolvers than this are not tried for one question. */
const MAX_RESOLVERS = 3

/** What is asked; `checkingDisabled` wants the data even if its signatures are wrong. */
export type DnsAsk = { readonly name: string; readonly type: DnsQueryType; readonly checkingDisabled?: boolean }

/** DNS questions whose whole answer matters: flags, codes and sections. Never throws, always ends. */
export type DnsClient = {
  /** Asks the resolvers, the next one when one gives no answer. Each has the time limit to itself. */
  askResolver(ask: DnsAsk, limits: DnsLimits): Promise<DnsReply>
  /** Asks one name server by its address, without recursion. An address that may not be dialled is not asked. */
  askServer(address: string, ask: DnsAsk, limits: DnsLimits): Promise<DnsReply>
}

/** `dnsPort` stands in for port 53 of name servers where a test cannot bind it. */
export type DnsClientOptions = {
  readonly reach: Reach
  /** `address` or `address:port`, as `NAMEPLATE_DNS_SERVERS` has them; null: the system's. */
  readonly dnsServers: readonly string[] | null
  readonly dnsPort?: number
}

/** Makes the client. Tenants choose name servers by delegation, so each address is judged by `reach`. */
export function createDnsClient(options: DnsClientOptions): DnsClient {
  return {
    async askResolver({ name, type, checkingDisabled = false }, limits) {
      const question = { name, type, checkingDisabled, isRecursive: true }
      let reply: DnsReply = { kind: 'none', reason: 'there is no resolver' }
      for (const server of resolvers(options.dnsServers)) {
        reply = await queryDns(server, question, limits)
        if (limits.signal.aborted || (reply.kind === 'reply' && reply.code !== 'REFUSED')) break
      }
      return reply
    },
    async askServer(address, { name, type }, limits) {
      if (!options.reach(address)) return { kind: 'none', reason: `its address is not public (${address})` }
      return queryDns({ address, port: options.dnsPort ?? DNS_PORT }, { name, type, isRecursive: false }, limits)
    },
  }
}

function resolvers(dnsServers: readonly string[] | null): DnsTarget[] {
  return (dnsServers ?? getServers()).slice(0, MAX_RESOLVERS).flatMap((text) => {
    const server = readServer(text)
    return server === null ? [] : [{ address: server.host, port: server.port }]
  })
}
