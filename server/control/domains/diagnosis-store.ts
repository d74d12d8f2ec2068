import type { Db } from '../db.ts'
import type { WantedHostname } from './view.ts'

/** How the edges stand to one hostname. */
export type EdgeStanding = {
  /** Edges whose lease has not run out. */
  readonly liveEdges: number
  /** Live edges that hold back one of its records, and why. */
  readonly refusals: readonly { readonly edge: string; readonly reason: string | null }[]
}

/** Reads which live edges there are, and which of them cannot use a record of the hostname. */
export async function edgeStanding(db: Db, { name, siteId, fingerprint }: WantedHostname): Promise<EdgeStanding> {
  const edges = await db.edge.findMany({
    where: { leaseExpiresAt: { gt: new Date() } },
    select: {
      name: true,
      exceptions: {
        where: {
          OR: [
            { kind: 'name', key: name },
            { kind: 'site', key: siteId },
            ...(fingerprint === null ? [] : [{ kind: 'certificate', key: fingerprint }]),
          ],
        },
        select: { reason: true },
      },
    },
  })
  const refusals = edges.flatMap((edge) => edge.exceptions.map(({ reason }) => ({ edge: edge.name, reason })))
  return { liveEdges: edges.length, refusals }
}

/** The public addresses of a site's own addresses: a name may lead there as well. */
export async function dedicatedAddresses(db: Db, siteId: string): Promise<string[]> {
  const rows = await db.address.findMany({ where: { siteId }, select: { address: true, publicAddress: true } })
  return rows.map(({ address, publicAddress }) => publicAddress ?? address)
}
