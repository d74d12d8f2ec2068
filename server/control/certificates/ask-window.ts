import type { Issuer, RenewalInfo } from './issuer.ts'
import { chooseInWindow, nextPoll, type RenewalWindow } from './renewal.ts'
import * as store from './store.ts'
import { commit, tell, type Work } from './work.ts'

/**
 * Asks the CA when it wants a certificate renewed (RFC 9773 section 4.3), and keeps the time that was
 * chosen in the window. A CA that cannot say changes nothing: the last window, or the lifetime, decides.
 */
export async function askWindow(work: Work, certificate: store.WorkedCertificate, issuer: Issuer): Promise<void> {
  const active = certificate.activeVersion
  if (active === null) return
  const answer = await renewalInfo(work, issuer, active.chainPem)
  const info = typeof answer === 'string' ? null : answer
  const now = work.now()
  const present = windowOf(certificate)
  const window = info === null ? present : chooseInWindow(info, present, now, work.random)
  const pollAt = answer === 'never' ? null : nextPoll(active, info?.retryAfterMs ?? null, now, work.random)
  await commit(work, async (tx) => {
    await store.updateCertificate(tx, certificate.id, {
      ariPollAt: pollAt,
      ...(window === null ? {} : { ariStart: window.start, ariEnd: window.end, ariSelectedAt: window.selectedAt }),
      ...(info === null ? {} : { ariUrl: info.explanationUrl }),
    })
    if (window !== null && window !== present && present !== null) await tellMove(tx, certificate, window)
  })
}

/** The window that is kept of a certificate. */
export function windowOf(row: {
  readonly ariStart: Date | null
  readonly ariEnd: Date | null
  readonly ariSelectedAt: Date | null
}): RenewalWindow | null {
  const { ariStart: start, ariEnd: end, ariSelectedAt: selectedAt } = row
  return start === null || end === null || selectedAt === null ? null : { start, end, selectedAt }
}

/** `never` where the CA has no such call: it is not asked again for this certificate. */
async function renewalInfo(work: Work, issuer: Issuer, chainPem: string): Promise<RenewalInfo | 'never' | 'failed'> {
  try {
    return (await issuer.renewalInfo(chainPem)) ?? 'never'
  } catch (error) {
    if (work.signal.aborted) throw error
    work.log.debug({ err: error, issuerId: issuer.id }, 'the CA did not say when to renew')
    return 'failed'
  }
}

async function tellMove(
  tx: Parameters<typeof tell>[0],
  certificate: store.WorkedCertificate,
  window: RenewalWindow,
): Promise<void> {
  await tell(tx, certificate, 'renewal-moved', {
    start: window.start.toISOString(),
    end: window.end.toISOString(),
    renewAt: window.selectedAt.toISOString(),
  })
}
