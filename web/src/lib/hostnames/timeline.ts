import type { CertificateDetailView } from '#lib/certificates/api.ts'
import type { HostnameView } from './api.ts'

/** One step on the way from a claimed name to a served one. */
export type Step = {
  key: 'claimed' | 'proven' | 'ordered' | 'issued' | 'served'
  title: string
  state: 'done' | 'current' | 'problem' | 'todo'
  /** When it was done. */
  at?: string | undefined
  /** What is going on, or why it does not go on. */
  detail?: string | undefined
}

/** The way of a hostname from claimed to served, as far as it has come. `certificate` may still be unknown. */
export function timelineOf(hostname: HostnameView, certificate: CertificateDetailView | null): Step[] {
  const { ownership, live } = hostname
  const isProven = ownership.state === 'verified' || (ownership.state === 'lapsed' && live)
  const isOrdered = isProven && (hostname.certificate.state !== 'wanted' || (certificate?.history.length ?? 0) > 0)
  const isIssued = isProven && hostname.certificate.notAfter !== undefined
  return [
    { key: 'claimed', title: 'Claimed', state: 'done', at: hostname.createdAt },
    provenStep(hostname, isProven),
    orderedStep(hostname, isProven, isOrdered, firstAt(certificate, 'order')),
    issuedStep(hostname, isOrdered, isIssued, firstAt(certificate, 'version')),
    servedStep(isIssued, live),
  ]
}

function provenStep({ ownership }: HostnameView, isProven: boolean): Step {
  const step = { key: 'proven', title: 'Proven to be yours' } as const
  if (isProven) return { ...step, state: 'done', at: ownership.verifiedAt }
  if (ownership.state === 'pending') {
    return { ...step, state: 'current', detail: 'Waiting for the DNS record. It is looked for again and again.' }
  }
  return { ...step, state: 'problem', detail: ownership.problem?.detail ?? 'The proof is missing.' }
}

function orderedStep(hostname: HostnameView, isProven: boolean, isOrdered: boolean, at: string | undefined): Step {
  const step = { key: 'ordered', title: 'Certificate ordered' } as const
  if (!isProven) return { ...step, state: 'todo' }
  if (hostname.certificate.state === 'paused' && hostname.certificate.notAfter === undefined) {
    return { ...step, state: 'problem', detail: problemText(hostname) }
  }
  return isOrdered ? { ...step, state: 'done', at } : { ...step, state: 'current', detail: 'It is ordered at once.' }
}

function issuedStep(hostname: HostnameView, isOrdered: boolean, isIssued: boolean, at: string | undefined): Step {
  const step = { key: 'issued', title: 'Certificate issued' } as const
  const isStuck = hostname.certificate.state === 'paused'
  if (isIssued) return { ...step, state: 'done', at }
  if (!isOrdered || isStuck) return { ...step, state: 'todo' }
  if (hostname.certificate.state === 'failing') return { ...step, state: 'problem', detail: problemText(hostname) }
  return { ...step, state: 'current', detail: 'The certificate authority is checking the name.' }
}

function servedStep(isIssued: boolean, live: boolean): Step {
  const step = { key: 'served', title: 'Live' } as const
  if (live) return { ...step, state: 'done', detail: 'Every edge has confirmed that it serves this name.' }
  if (!isIssued) return { ...step, state: 'todo' }
  return { ...step, state: 'current', detail: 'Waiting for every edge to confirm.' }
}

function problemText({ certificate }: HostnameView): string {
  return certificate.problem?.detail ?? 'The certificate could not be had. It is tried again.'
}

function firstAt(certificate: CertificateDetailView | null, type: 'order' | 'version'): string | undefined {
  return certificate?.history.findLast((entry) => entry.type === type)?.at
}
