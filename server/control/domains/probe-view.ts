import type { HostnameRow } from './hostname-store.ts'
import type { DiagnosisCheck, HostnameView } from './schema.ts'

/** What was seen from outside, as the API shows it; undefined for a name that is not looked at. */
export function probeView({ probe }: Pick<HostnameRow, 'probe'>): HostnameView['probe'] {
  if (probe === null) return undefined
  const { state, at, servedFingerprint, detail } = probe
  return {
    state,
    ...(at === null ? {} : { at: at.toISOString() }),
    ...(servedFingerprint === null ? {} : { servedFingerprint }),
    ...(detail === null ? {} : { detail }),
  }
}

/** The same as a step of the diagnosis: as it was last looked at, not now. */
export function probeCheck({ probe }: Pick<HostnameView, 'probe'>): DiagnosisCheck {
  const code = 'PROBE'
  const at = probe?.at === undefined ? '' : ` (${probe.at.slice(0, 16).replace('T', ' ')} UTC)`
  if (probe === undefined || probe.state === 'waiting')
    return { code, status: 'unknown', detail: 'It has not been looked at from outside yet.' }
  if (probe.state === 'ok') return { code, status: 'ok', detail: `Seen from outside, it shows its certificate${at}.` }
  const detail = `Seen from outside: ${probe.detail ?? 'it is not as it should be.'}${at}`
  if (probe.state === 'skipped') return { code, status: 'unknown', detail }
  if (probe.state === 'suspect')
    return { code, status: 'waiting', detail: `${detail} It is looked at again in a minute.` }
  return {
    code,
    status: 'problem',
    detail,
    fix: 'Look at what stands between visitors and the edges: DNS records, a proxy or load balancer, a firewall, another server on that address.',
  }
}
