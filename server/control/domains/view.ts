import { unicodeName } from '../../contract/names.ts'
import type { Db, Tx } from '../db.ts'
import type { Prisma } from '../generated/client.ts'
import { type DomainRow, foreignNames } from './domain-store.ts'
import type { HostnameRow } from './hostname-store.ts'
import { probeView } from './probe-view.ts'
import { claimOf, instructionsFor } from './proof.ts'
import { standingSince } from './schedule.ts'
import type { CheckProblem, DomainView, HostnameView } from './schema.ts'

/** A hostname as it should be served; fingerprint null: it has no certificate. */
export type WantedHostname = {
  readonly id: string
  readonly name: string
  readonly siteId: string
  readonly fingerprint: string | null
}

/** Says which of these every live edge serves with that very site and certificate: their ids. */
export type LiveHostnames = (hostnames: readonly WantedHostname[]) => Promise<Set<string>>

/** Hostnames as the API shows them, in the same order. */
export async function hostnameViews(
  db: Db | Tx,
  liveHostnames: LiveHostnames,
  rows: readonly HostnameRow[],
): Promise<HostnameView[]> {
  if (rows.length === 0) return []
  const domains = rows.map((row) => ({ id: row.domainId, name: row.domain.name, tenantId: row.tenantId }))
  const [foreign, live] = await Promise.all([
    foreignNames(db, domains, standingSince(new Date())),
    liveHostnames(rows.filter(isServed).map(wanted)),
  ])
  return rows.map((row) => ({
    id: row.id,
    tenantId: row.tenantId,
    name: row.name,
    unicodeName: unicodeName(row.name),
    siteId: row.siteId,
    domainId: row.domainId,
    ownership: ownershipView(row, foreign.get(row.domainId) ?? new Set()),
    certificate: certificateView(row),
    live: live.has(row.id),
    ...probeOf(row),
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  }))
}

/** Domains as the API shows them, in the same order. */
export async function domainViews(db: Db | Tx, rows: readonly DomainRow[]): Promise<DomainView[]> {
  const foreign = await foreignNames(db, rows, standingSince(new Date()))
  return rows.map((row) => ({
    id: row.id,
    tenantId: row.tenantId,
    name: row.name,
    unicodeName: unicodeName(row.name),
    state: row.state,
    proofs: row.proofs.map(({ name, method, verifiedAt, checkedAt, lapsedAt }) => ({
      name,
      method,
      verifiedAt: verifiedAt.toISOString(),
      checkedAt: checkedAt.toISOString(),
      ...(lapsedAt === null ? {} : { lapsedAt: lapsedAt.toISOString() }),
    })),
    instructions: instructionsFor(claimOf(row.name, row.name), row.token, foreign.get(row.id) ?? new Set()).filter(
      ({ type }) => type === 'TXT',
    ),
    hostnames: row._count.hostnames,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  }))
}

/** What an edge must serve for a hostname to be live. */
export function wanted(row: HostnameRow): WantedHostname {
  const { id, name, siteId, certificate } = row
  return { id, name, siteId, fingerprint: certificate?.activeVersion?.fingerprint ?? null }
}

/** Whether records of a hostname are published at all. */
export function isServed(row: HostnameRow): boolean {
  return row.ownershipState === 'verified' || row.ownershipState === 'lapsed'
}

/** Reads a stored `{code, detail}`, or null. */
export function readProblem(value: Prisma.JsonValue): CheckProblem | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null
  const { code, detail } = value
  return typeof code === 'string' && typeof detail === 'string' ? { code, detail } : null
}

function probeOf(row: HostnameRow): Pick<HostnameView, 'probe'> {
  const probe = probeView(row)
  return probe === undefined ? {} : { probe }
}

function ownershipView(row: HostnameRow, foreign: ReadonlySet<string>): HostnameView['ownership'] {
  const problem = readProblem(row.checkProblem)
  return {
    state: row.ownershipState,
    instructions: instructionsFor(claimOf(row.name, row.domain.name), row.domain.token, foreign),
    ...(row.verifiedAt === null ? {} : { verifiedAt: row.verifiedAt.toISOString() }),
    ...(row.checkedAt === null ? {} : { checkedAt: row.checkedAt.toISOString() }),
    ...(row.checkDueAt === null ? {} : { nextCheckAt: row.checkDueAt.toISOString() }),
    ...(problem === null ? {} : { problem }),
  }
}

function certificateView({ certificate }: HostnameRow): HostnameView['certificate'] {
  if (certificate === null) return { state: 'wanted' }
  const { id, state, activeVersion } = certificate
  const problem = readProblem(certificate.problem)
  return {
    state,
    id,
    ...(activeVersion === null ? {} : { notAfter: activeVersion.notAfter.toISOString() }),
    ...(problem === null ? {} : { problem }),
  }
}
