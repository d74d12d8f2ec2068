import type { DnsReply } from '../../outbound/dns-query.ts'
import type { Asker } from './asker.ts'
import type { CaaLookup, CaaRecord } from './observation.ts'
import { parentOf } from './zone.ts'

/**
 * CAA at the name and at every name above it but the root, the closest first, all asked at once, as CAs do
 * (RFC 8659 section 3). The resolver follows aliases. What cannot be had is kept as such.
 */
export function climbCaa(asker: Asker, host: string): Promise<CaaLookup[]> {
  const names: string[] = []
  for (let name = host; name !== ''; name = parentOf(name)) names.push(name)
  return Promise.all(names.map(async (name) => ({ name, result: readCaa(await asker.resolver(name, 'CAA')) })))
}

function readCaa(reply: DnsReply): CaaLookup['result'] {
  if (reply.kind === 'none') return { kind: 'unanswered', reason: reply.reason }
  if (reply.code !== 'NOERROR' && reply.code !== 'NXDOMAIN') {
    const why = reply.extendedError === null ? '' : ` (${reply.extendedError})`
    return { kind: 'unanswered', reason: `the answer is ${reply.code}${why}` }
  }
  const records: CaaRecord[] = reply.answers.flatMap((record) =>
    record.type === 'CAA' ? [{ owner: record.name, flags: record.flags, tag: record.tag, value: record.value }] : [],
  )
  return records.length === 0 ? { kind: 'absent' } : { kind: 'found', records }
}
