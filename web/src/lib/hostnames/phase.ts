import type { HostnameView } from './api.ts'

/** Where a hostname stands, in the words that people read. */
export type Phase = {
  key: 'proof' | 'issuing' | 'publishing' | 'live' | 'problem'
  tone: 'good' | 'wait' | 'busy' | 'bad'
  label: string
}

const phases = {
  proof: { key: 'proof', tone: 'wait', label: 'Waiting for proof' },
  issuing: { key: 'issuing', tone: 'busy', label: 'Issuing certificate' },
  publishing: { key: 'publishing', tone: 'busy', label: 'Going live' },
  live: { key: 'live', tone: 'good', label: 'Live' },
} as const satisfies Record<string, Phase>

function problem(label: string): Phase {
  return { key: 'problem', tone: 'bad', label }
}

/** The phase of a hostname: what hinders it first, then how far it is. Only an acknowledged record is "live". */
export function phaseOf({ ownership, certificate, live }: HostnameView): Phase {
  if (ownership.state === 'pending') return phases.proof
  if (ownership.state === 'disputed') return problem('Held by another tenant')
  if (ownership.state === 'released') return problem('Taken over')
  if (certificate.state === 'failing') return problem(live ? 'Live, renewal is failing' : 'Certificate is failing')
  if (certificate.state === 'paused') return problem('Certificate is paused')
  if (certificate.state === 'expired') return problem('Certificate has expired')
  if (certificate.state === 'revoked') return problem('Certificate is revoked')
  if (ownership.state === 'lapsed') return problem(live ? 'Live, the proof is gone' : 'The proof is gone')
  if (live) return phases.live
  return certificate.state === 'valid' || certificate.state === 'renewing' ? phases.publishing : phases.issuing
}

/** Whether something is under way that a person waits for. */
export function isUnderWay(hostname: HostnameView): boolean {
  return phaseOf(hostname).key !== 'live'
}
