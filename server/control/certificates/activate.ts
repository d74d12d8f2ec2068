import { saveCircuit } from './issuer-store.ts'
import type { Delivery } from './order-run.ts'
import { CertificateError, ownFailures } from './problems.ts'
import { firstPoll, renewAt } from './renewal.ts'
import * as store from './store.ts'
import { ChainError, type VerifiedChain, verifyChain } from './verify.ts'
import { commit, tell, type Work } from './work.ts'

/**
 * Checks what was delivered and makes it the active version: version, pointer, order and event in one
 * transaction, so that the edges see the old one or the new one. Throws `CertificateError` for what must
 * not be served.
 */
export async function activate(
  work: Work,
  certificate: store.WorkedCertificate,
  order: store.OrderRow,
  delivery: Delivery,
): Promise<void> {
  const chain = check(work, order, delivery)
  const { fingerprint, notAfter } = chain
  const now = work.now()
  const keySealed = work.vault.seal(delivery.keyPem, store.certificateKeyContext(fingerprint))
  const planned = { renewAt: renewAt(chain, work.random), ariPollAt: firstPoll(chain, now, work.random) }
  await commit(work, async (tx) => {
    const origin = { issuerId: order.issuerId, accountId: delivery.accountId }
    await store.activateVersion(tx, certificate.id, origin, chain, keySealed, planned)
    await store.closeOrder(tx, order.id, 'valid', null)
    await tell(tx, certificate, 'issued', { fingerprint, notAfter: notAfter.toISOString(), issuerId: order.issuerId })
    if (certificate.failures > 0) await tell(tx, certificate, 'recovered', { failures: String(certificate.failures) })
    await saveCircuit(tx, order.issuerId, null)
  })
  work.log.info({ names: order.names, fingerprint, notAfter }, 'certificate issued')
}

function check(work: Work, order: store.OrderRow, { chainPem, keyPem }: Delivery): VerifiedChain {
  try {
    return verifyChain(chainPem, keyPem, order.names, work.now())
  } catch (error) {
    if (!(error instanceof ChainError)) throw error
    throw new CertificateError(ownFailures.unusable(order.names, error.message), error)
  }
}

/** The rehearsal went well: the next order goes to production. */
export async function endRehearsal(
  work: Work,
  certificate: store.WorkedCertificate,
  order: store.OrderRow,
): Promise<void> {
  await commit(work, async (tx) => {
    await store.closeOrder(tx, order.id, 'valid', null)
    await store.updateCertificate(tx, certificate.id, { isRehearsing: false })
    await tell(tx, certificate, 'rehearsed')
  })
}
