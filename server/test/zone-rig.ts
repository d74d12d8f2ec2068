import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createReach } from '../contract/reach.ts'
import { createDialler, type Dialler } from '../control/outbound/dialler.ts'
import { createDnsClient, type DnsClient } from '../control/outbound/dns-client.ts'
import { type DnsType, startTestDns, type TestDns } from './dns.ts'

/** A resolver and two name servers of one zone, real servers all, and a web server at 127.0.0.1. */
export type ZoneRig = AsyncDisposable & {
  readonly resolver: TestDns
  /** 127.0.0.2 and 127.0.0.3, in the zones as `ns1` and `ns2`. */
  readonly servers: readonly [TestDns, TestDns]
  readonly client: DnsClient
  readonly dialler: Dialler
  /** Makes both servers authoritative for a zone. */
  addZone(name: string): void
  /** Sets records at both name servers and the resolver. */
  set(type: DnsType, name: string, values: readonly string[]): void
}

/** Makes the rig; `web` answers on what stands for port 80, at every loopback address. */
export async function createZoneRig(web: RequestListener = (_, response) => response.end()): Promise<ZoneRig> {
  const resolver = await startTestDns()
  const first = await startTestDns({ host: '127.0.0.2', isAuthoritative: true })
  const dnsPort = Number(first.address.split(':')[1])
  const second = await startTestDns({ host: '127.0.0.3', port: dnsPort, isAuthoritative: true })
  const all = [resolver, first, second]
  const http = createServer(web)
  http.listen(0)
  await once(http, 'listening')
  const reach = createReach(['127.0.0.0/8', '::1'])
  const dnsServers = [resolver.address]
  const set: ZoneRig['set'] = (type, name, values) => {
    for (const dns of all) dns.set(type, name, values)
  }
  return {
    resolver,
    servers: [first, second],
    client: createDnsClient({ reach, dnsServers, dnsPort }),
    dialler: createDialler({ reach, dnsServers, httpPort: (http.address() as AddressInfo).port }),
    set,
    addZone(name) {
      set('SOA', name, [`ns1.${name}`])
      set('NS', name, [`ns1.${name}`, `ns2.${name}`])
      set('A', `ns1.${name}`, ['127.0.0.2'])
      set('A', `ns2.${name}`, ['127.0.0.3'])
    },
    async [Symbol.asyncDispose]() {
      http.closeAllConnections()
      http.close()
      for (const dns of all) await dns[Symbol.asyncDispose]()
    },
  }
}
