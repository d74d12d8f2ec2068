import type { DnsReply } from '../../outbound/dns-query.ts'
import type { Asker } from './asker.ts'
import { allMethods, type Finding, note, problem } from './finding.ts'
import type { DnssecObservation } from './observation.ts'

/** Asks the resolver with and without checking of signatures (RFC 4035 section 3.2.2). */
export async function observeDnssec(
  asker: Asker,
  host: string,
  zone: Promise<string | null>,
): Promise<DnssecObservation> {
  const [checked, unchecked] = await Promise.all([asker.resolver(host, 'A'), asker.resolver(host, 'A', true)])
  const isAuthentic = checked.kind === 'reply' && checked.isAuthentic
  return {
    checked: outcome(checked),
    unchecked: outcome(unchecked),
    isAuthentic,
    isSigned: isAuthentic ? true : await signedZone(asker, await zone),
    extendedError: checked.kind === 'reply' ? checked.extendedError : null,
  }
}

/** What follows. A resolver that checks nothing cannot show a failure, and then none is claimed. */
export function dnssecFinding(host: string, seen: DnssecObservation): Finding {
  if (seen.checked === 'failed' && seen.unchecked === 'answered') {
    const why = seen.extendedError === null ? '' : ` The resolver says: ${seen.extendedError}.`
    return problem(
      'DNSSEC_BROKEN',
      allMethods,
      `The DNSSEC signatures of ${host} do not hold: a resolver that checks them gives no answer, one that does not check does.${why} Many visitors cannot reach the name, and no CA issues a certificate for it.`,
      'Sign the zone again at your DNS provider, and see that the DS record at your registrar belongs to the key in use. Or remove the DS record at the registrar and wait until it is gone everywhere (its TTL, mostly a day) before signing is switched off.',
    )
  }
  if (seen.checked !== 'answered') return note('DNSSEC', 'unknown', `The resolver gives no answer for ${host}.`)
  if (seen.isAuthentic) return note('DNSSEC', 'ok', 'The zone is signed, and the signatures hold.')
  if (seen.isSigned === false) return note('DNSSEC', 'ok', 'The zone is not signed.')
  const state = seen.isSigned === null ? 'Whether the zone is signed was not found out.' : 'The zone is signed.'
  return note('DNSSEC', 'unknown', `${state} The resolver of this machine does not check signatures.`)
}

function outcome(reply: DnsReply): DnssecObservation['checked'] {
  if (reply.kind === 'none') return 'none'
  return reply.code === 'NOERROR' || reply.code === 'NXDOMAIN' ? 'answered' : 'failed'
}

/** A DS record at the parent says so. */
async function signedZone(asker: Asker, zone: string | null): Promise<boolean | null> {
  if (zone === null) return null
  const reply = await asker.resolver(zone, 'DS', true)
  if (reply.kind === 'none' || reply.code !== 'NOERROR') return null
  return reply.answers.some(({ type }) => type === 'DS')
}
