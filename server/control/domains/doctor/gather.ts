import type { Dialler } from '../../outbound/dialler.ts'
import type { DnsClient } from '../../outbound/dns-client.ts'
import { createAsker } from './asker.ts'
import { climbCaa } from './caa-tree.ts'
import { observeDnssec } from './dnssec.ts'
import type { Observation, RightPlaces } from './observation.ts'
import { probePort80 } from './port-probe.ts'
import { followRoute } from './route.ts'

/** For all lookups together; with the probe of port 80 after them, an examination stays below 10 s. */
const LOOKUPS_MS = 5_500
/** Stands for any label where a wildcard is looked up. */
const PROBE_LABEL = 'nameplate-check'

/** What looking needs. */
export type GatherDeps = { readonly dialler: Dialler; readonly dns: DnsClient }

/** What is looked at. */
export type Subject = {
  /** As it is stored. */
  readonly name: string
  readonly right: RightPlaces
  /** Whether port 80 is tried. */
  readonly isProbed: boolean
  readonly clockSkewMs: number | null
  /** Ends the lookups early; what is not known by then is unknown. */
  readonly signal?: AbortSignal
}

/** Looks up all that findings are computed of, within 10 s and a bounded number of questions. Never throws. */
export async function gather({ dialler, dns }: GatherDeps, subject: Subject): Promise<Observation> {
  const { name, clockSkewMs } = subject
  const host = hostOfName(name)
  const deadline = AbortSignal.timeout(LOOKUPS_MS)
  const signal = subject.signal === undefined ? deadline : AbortSignal.any([deadline, subject.signal])
  const asker = createAsker(dns, signal)
  const route = followRoute(asker, host)
  const [seen, caa, dnssec, right] = await Promise.all([
    route,
    climbCaa(asker, host),
    observeDnssec(
      asker,
      host,
      route.then(({ zone }) => zone),
    ),
    withTarget(dialler, subject.right),
  ])
  const isProbed = subject.isProbed && !name.startsWith('*.') && subject.signal?.aborted !== true
  const probes = isProbed ? await probePort80(dialler, host, seen) : null
  return { name, host, right, route: seen, caa, dnssec, probes, clockSkewMs }
}

/** The host by which a name is looked up. */
export function hostOfName(name: string): string {
  return name.replace(/^\*(?=\.)/, PROBE_LABEL)
}

/** What the CNAME target leads to is right as well. */
export async function withTarget(dialler: Dialler, right: RightPlaces): Promise<RightPlaces> {
  if (right.cnameTarget === null) return right
  const found = await Promise.all([dialler.lookupA(right.cnameTarget), dialler.lookupAaaa(right.cnameTarget)])
  const addresses = found.flatMap((result) => (result.kind === 'found' ? result.values : []))
  return { ...right, addresses: [...new Set([...right.addresses, ...addresses])] }
}
