import type { CertificateView } from './api.ts'

/** A certificate's state as people read it. */
export type CertificateWords = { tone: 'good' | 'wait' | 'busy' | 'bad' | 'none'; label: string }

const words: Record<CertificateView['state'], CertificateWords> = {
  wanted: { tone: 'wait', label: 'Wanted' },
  ordering: { tone: 'busy', label: 'Being issued' },
  valid: { tone: 'good', label: 'Valid' },
  renewing: { tone: 'busy', label: 'Being renewed' },
  failing: { tone: 'bad', label: 'Failing' },
  paused: { tone: 'bad', label: 'Paused' },
  expired: { tone: 'bad', label: 'Expired' },
  revoked: { tone: 'bad', label: 'Revoked' },
  retired: { tone: 'none', label: 'Retired' },
}

/** The words of a state; a state of a newer server is shown as it is. */
export function certificateWords(state: CertificateView['state']): CertificateWords {
  return words[state] ?? { tone: 'none', label: state }
}
