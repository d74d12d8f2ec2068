import { windowOf } from './ask-window.ts'
import { type PlannedIssuer, readShunned } from './choose-issuer.ts'
import { openUntil, readCircuit } from './circuit.ts'
import type { IssuerRow } from './issuer-store.ts'
import type { DnsProofs } from './order-run.ts'
import type { PlannedCertificate } from './plan.ts'
import type { WorkedCertificate } from './store.ts'

/** A certificate's row as planning sees it. Looks into DNS where a wildcard is to be proven. */
export async function plannedOf(dns: DnsProofs, certificate: WorkedCertificate): Promise<PlannedCertificate> {
  const { names, state, source, activeVersion, orders, hostnames, tenant } = certificate
  const [order] = orders
  const own = tenant.issuerIds
  return {
    names,
    state,
    source,
    active: activeVersion,
    openOrder: order === undefined ? null : { ...order, isFinalized: order.state === 'processing' },
    hostnames: hostnames.map(({ ownershipState }) => ownershipState),
    renewAt: certificate.renewAt,
    window: windowOf(certificate),
    pollAt: certificate.ariPollAt,
    isRehearsing: certificate.isRehearsing,
    heldUntil: certificate.heldUntil,
    preferredIssuerIds: own.length > 0 ? own : (tenant.plan?.issuerIds ?? []),
    shunned: readShunned(certificate.shunned),
    provesByDns: await provesByDns(dns, certificate),
  }
}

/** Asked only where it decides: for a wildcard. */
async function provesByDns(dns: DnsProofs, { tenantId, names }: WorkedCertificate): Promise<boolean> {
  for (const name of names.filter((item) => item.startsWith('*.')))
    if (!(await dns.proves(tenantId, name))) return false
  return true
}

/** An issuer's row as planning sees it. */
export function plannedIssuerOf(row: IssuerRow, now: Date): PlannedIssuer {
  const circuit = readCircuit(row.circuit)
  const { id, kind, isEnabled, priority } = row
  const failingSince = circuit === null ? null : new Date(circuit.since)
  return { id, kind, isEnabled, priority, circuitOpenUntil: openUntil(circuit, now), failingSince }
}
