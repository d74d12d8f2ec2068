import type { Db } from '../db.ts'
import type { DnsSolver } from '../dns/solver.ts'
import type { DoctorIssuers } from './doctor-issuers.ts'
import type { DnsProofs } from './order-run.ts'

/** The proofs in DNS of the certificate manager, with the question by hostname. */
export type HostnameProofs = DnsProofs & { provesHostname(hostnameId: string): Promise<boolean> }

/** Puts the providers of `dns` and the records that stand for our accounts together. */
export function createDnsProofs(deps: {
  readonly db: Db
  readonly solver: DnsSolver
  readonly doctorIssuers: DoctorIssuers
}): HostnameProofs {
  const { db, solver, doctorIssuers } = deps
  const stands = async (name: string, isWildcard: boolean): Promise<boolean> => {
    const issuers = await doctorIssuers(['dns-persist-01'])
    for (const { caaIdentities, accountUrl } of issuers) {
      if (accountUrl === null || caaIdentities === null) continue
      const of = { issuerDomains: caaIdentities, accountUrl, isWildcard }
      if (await solver.hasPersistRecord(name, of)) return true
    }
    return false
  }
  const proves = async (tenantId: string, name: string): Promise<boolean> => {
    const base = name.replace(/^\*\./, '')
    return (await solver.covers(tenantId, base)) || (await stands(base, base !== name))
  }
  return {
    covers: solver.covers,
    present: solver.present,
    hasPersistRecord: solver.hasPersistRecord,
    proves,
    async provesHostname(hostnameId) {
      const row = await db.hostname.findUnique({ where: { id: hostnameId }, select: { tenantId: true, name: true } })
      if (row === null) return false
      // Over HTTP a name is proven without; only what has no other way is looked up in DNS.
      return row.name.startsWith('*.') ? proves(row.tenantId, row.name) : solver.covers(row.tenantId, row.name)
    },
  }
}
