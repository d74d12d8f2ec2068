import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createReach } from '../contract/reach.ts'
import { system } from '../control/auth/access.ts'
import type { Tx } from '../control/db.ts'
import { type Checker, createChecker } from '../control/domains/check.ts'
import { createDoctor, type Doctor, type DoctorTargets } from '../control/domains/doctor/doctor.ts'
import type { DoctorIssuer } from '../control/domains/doctor/observation.ts'
import { domainRoutes } from '../control/domains/domain-routes.ts'
import { createDomainService, type DomainService } from '../control/domains/domain-service.ts'
import { hostnameRoutes } from '../control/domains/routes.ts'
import type { HostnameView } from '../control/domains/schema.ts'
import { createHostnameService, type HostnameService } from '../control/domains/service.ts'
import type { CertificateHooks } from '../control/domains/settle.ts'
import { createDialler } from '../control/outbound/dialler.ts'
import { createDnsClient } from '../control/outbound/dns-client.ts'
import { type ApiRig, createApiRig } from './api.ts'
import { startTestDns, type TestDns } from './dns.ts'

/** Everything of ownership over a real database, DNS server and web server. */
export type DomainRig = AsyncDisposable & {
  readonly api: ApiRig
  readonly dns: TestDns
  readonly checker: Checker
  readonly hostnames: HostnameService
  readonly domains: DomainService
  readonly hooks: CertificateHooks
  readonly sites: Readonly<Record<'own' | 'second' | 'other', string>>
  /** Certificates that were retired or tried again, in order. */
  readonly hookCalls: string[]
  readonly doctor: Doctor
  readonly targets: DoctorTargets & { publicAddresses: string[]; doctor: { httpProbe: boolean } }
  /** The CAs that a diagnosis asks about. */
  readonly issuers: DoctorIssuer[]
  /** Bodies by URL, `http://host/path`; names lead here once the DNS says 127.0.0.1. */
  readonly pages: Map<string, string>
  /** Ids of hostnames that count as live. */
  readonly live: Set<string>
  /** Adds a name for the first or the other tenant, as the system would. */
  add(name: string, tenant?: 'own' | 'other'): Promise<HostnameView>
  /** Creates the TXT record of an instruction of the hostname (the first one, or the one for that name). */
  prove(hostname: HostnameView, at?: string): void
}

/** Makes the rig; end it with `await using`. */
export async function createDomainRig(): Promise<DomainRig> {
  const dns = await startTestDns()
  const pages = new Map<string, string>()
  const web = createServer((request, response) => {
    const body = pages.get(`http://${request.headers.host}${request.url}`)
    response.writeHead(body === undefined ? 404 : 200).end(body)
  })
  web.listen(0, '127.0.0.1')
  await once(web, 'listening')
  const httpPort = (web.address() as AddressInfo).port
  const reach = createReach(['127.0.0.1/32'])
  const dialler = createDialler({ reach, dnsServers: [dns.address], httpPort })
  const dnsClient = createDnsClient({ reach, dnsServers: [dns.address] })
  const hookCalls: string[] = []
  const hooks: CertificateHooks = {
    retireCertificate: async (tx: Tx, id) => {
      hookCalls.push(`retire ${id}`)
      await tx.certificate.update({ where: { id }, data: { state: 'retired' } })
    },
    retryCertificate: async (tx: Tx, id) => {
      hookCalls.push(`retry ${id}`)
      await tx.certificate.update({ where: { id }, data: { dueAt: new Date() } })
    },
  }
  const targets = { publicAddresses: [] as string[], cnameTarget: null, doctor: { httpProbe: true } }
  const issuers: DoctorIssuer[] = []
  const live = new Set<string>()
  const made: { checker: Checker; doctor: Doctor; hostnames: HostnameService; domains: DomainService }[] = []
  const api = await createApiRig({
    routes: ({ db }) => {
      const checker = createChecker({ db, dialler, hooks })
      const reservedNames = ['panel.host.example']
      // Takes a connection of its own, as the real one does.
      const liveHostnames = async (rows: readonly { id: string }[]) => {
        await db.$queryRaw`select 1`
        return new Set(rows.map(({ id }) => id).filter((id) => live.has(id)))
      }
      const doctor = createDoctor({ db, dialler, dns: dnsClient, publicTargets: async () => targets })
      const issuersForDiagnosis = async () => issuers
      const deps = { db, checker, hooks, dialler, doctor, issuersForDiagnosis, reservedNames, liveHostnames }
      const [hostnames, domains] = [createHostnameService(deps), createDomainService(deps)]
      made.push({ checker, doctor, hostnames, domains })
      return [hostnameRoutes(hostnames), domainRoutes(domains)]
    },
  })
  const [services] = made
  if (services === undefined) throw new Error('the API did not ask for its routes')
  const { checker, doctor, hostnames, domains } = services
  const site = async (tenantId: string, name: string): Promise<string> =>
    (await api.db.site.create({ data: { tenantId, name, kind: 'static' } })).id
  const sites = {
    own: await site(api.tenantId, 'first'),
    second: await site(api.tenantId, 'second'),
    other: await site(api.otherTenantId, 'first'),
  }
  return {
    api,
    dns,
    checker,
    doctor,
    issuers,
    hostnames,
    domains,
    hooks,
    sites,
    hookCalls,
    targets,
    pages,
    live,
    add: (name, tenant = 'own') => hostnames.create(system, { name, siteId: sites[tenant] }, {}),
    prove(hostname, at) {
      const txt = hostname.ownership.instructions.filter(({ type }) => type === 'TXT')
      const wanted = at === undefined ? txt[0] : txt.find(({ name }) => name === `_nameplate-challenge.${at}`)
      if (wanted === undefined) throw new Error(`no TXT instruction for ${at}: ${JSON.stringify(txt)}`)
      dns.set('TXT', wanted.name, [...dns.get('TXT', wanted.name), wanted.value])
    },
    async [Symbol.asyncDispose]() {
      await api[Symbol.asyncDispose]()
      web.closeAllConnections()
      web.close()
      await dns[Symbol.asyncDispose]()
    },
  }
}
