import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { newCertificate } from './big-edge.ts'
import type { Forged } from './forge.ts'
import { IN_A_ROW, shownFingerprint, untilServed } from './probe.ts'
import type { Figures } from './report.ts'
import { siteName } from './scene.ts'
import { quantile } from './statistics.ts'

const CHANGES = 400
const PER_SECOND = 20

/** The sites whose certificates change: 400, or all where there are fewer, far apart in their numbers. */
export function changedSites(sites: number): number[] {
  const changes = Math.min(CHANGES, sites)
  return Array.from({ length: changes }, (_, index) => index * Math.floor(sites / changes))
}

/** Makes one change known: resolves with the moment from which the time runs. */
export type MakeChange = (site: number, certificate: Forged) => Promise<number>

/**
 * New certificates for sites that are hot on every worker, 20 a second, and the time until every worker was seen
 * to show them. A change that takes long delays no other.
 */
export async function measureChanges(
  port: number,
  sites: readonly number[],
  make: MakeChange,
): Promise<Figures[string]> {
  const certificates = sites.map(newCertificate)
  const times: number[] = []
  const problems: string[] = []
  const running: Promise<void>[] = []
  const begin = performance.now()
  for (const [index, site] of sites.entries()) {
    await sleep(Math.max(0, begin + (index * 1_000) / PER_SECOND - performance.now()))
    const change = async (): Promise<void> => {
      const certificate = certificates[index] as Forged
      const since = await make(site, certificate)
      times.push((await untilServed(port, siteName(site), certificate.fingerprint)) - since)
    }
    running.push(change().catch((error: Error) => void problems.push(error.message)))
  }
  const tookMs = performance.now() - begin
  await Promise.all(running)
  const at = (share: number): number => Math.round(quantile(times, share) * 10) / 10
  return {
    changes: times.length,
    failed: problems.length,
    perSecond: Math.round((sites.length / tookMs) * 1e4) / 10,
    p50Ms: at(0.5),
    p90Ms: at(0.9),
    p99Ms: at(0.99),
    slowestMs: at(1),
    ...(problems[0] === undefined ? {} : { firstProblem: problems[0] }),
  }
}

/** Visits the sites that will change, so that every worker holds what they have before. */
export async function heat(port: number, sites: readonly number[]): Promise<void> {
  for (const site of sites) {
    for (let visit = 0; visit < IN_A_ROW; visit += 1) await shownFingerprint(port, siteName(site))
  }
}
