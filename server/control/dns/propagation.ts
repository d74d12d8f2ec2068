import type { Ask, NameServer } from './ask.ts'
import type { Zone } from './delegation.ts'
import { decodeText, types } from './dns-message.ts'

/** What one name server of a zone says of a value. */
export type Sighting = {
  readonly server: string
  readonly state: 'there' | 'missing' | 'unreachable'
  /** Why it is unreachable. */
  readonly detail: string | null
}

/**
 * Looks for a TXT value at every name server of a zone, all at the same time. A server has it when each of
 * its addresses that answers has it, and at least one answers: addresses that cannot be reached from here
 * (IPv6, mostly) do not count while others of the same server do. Never throws.
 */
export function lookAtServers(
  ask: Ask,
  zone: Zone,
  wanted: { readonly fqdn: string; readonly value: string },
  signal: AbortSignal,
): Promise<Sighting[]> {
  return Promise.all(zone.servers.map((server) => lookAt(ask, server, wanted, signal)))
}

/** Whether each of the servers has the value; none at all is a no. */
export function isEverywhere(sightings: readonly Sighting[]): boolean {
  return sightings.length > 0 && sightings.every(({ state }) => state === 'there')
}

/** What is in the way, for people: the servers by name. */
export function sightingsProblem(sightings: readonly Sighting[], fqdn: string): string {
  const of = (state: Sighting['state']): Sighting[] => sightings.filter((sighting) => sighting.state === state)
  const unreachable = of('unreachable').map(({ server, detail }) => `${server} (${detail})`)
  const missing = of('missing').map(({ server }) => server)
  const parts = [
    ...(missing.length === 0 ? [] : [`not yet answered by ${missing.join(', ')}`]),
    ...(unreachable.length === 0 ? [] : [`no answer from ${unreachable.join(', ')}`]),
  ]
  return `the TXT record at ${fqdn}: ${parts.join('; ')}`
}

async function lookAt(
  ask: Ask,
  server: NameServer,
  { fqdn, value }: { readonly fqdn: string; readonly value: string },
  signal: AbortSignal,
): Promise<Sighting> {
  const looks = await Promise.allSettled(
    server.addresses.map(async (address) => {
      const { answers } = await ask.server(address, fqdn, types.TXT, signal)
      return answers.some(
        (record) => record.type === types.TXT && record.name === fqdn && decodeText(record.data) === value,
      )
    }),
  )
  const answered = looks.flatMap((look) => (look.status === 'fulfilled' ? [look.value] : []))
  if (answered.length > 0)
    return { server: server.host, state: answered.every(Boolean) ? 'there' : 'missing', detail: null }
  const failed = looks.find((look) => look.status === 'rejected')
  const detail = server.problem ?? (failed === undefined ? 'it has no address' : (failed.reason as Error).message)
  return { server: server.host, state: 'unreachable', detail }
}
