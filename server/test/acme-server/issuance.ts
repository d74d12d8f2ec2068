import type { Context } from './context.ts'
import { issueLeaf } from './leaf.ts'
import { AcmeProblem } from './problem.ts'
import { profileStillOffered } from './profiles.ts'
import { type CheckedCsr, newId, type Order } from './state.ts'

/** Longest common name (RFC 5280, ub-common-name). */
const MOST_COMMON_NAME = 64

/** Signs the certificate of an order in processing; the order is valid, or invalid with the problem that stood against it. */
export function completeIssuance(context: Context, order: Order): void {
  const csr = order.processing?.csr
  if (csr === undefined) return
  try {
    order.certificateId = issue(context, order, csr)
    order.status = 'valid'
    order.processing = null
  } catch (error) {
    order.status = 'invalid'
    order.error = error instanceof AcmeProblem ? error : new AcmeProblem('serverInternal', String(error))
  }
}

function issue(context: Context, order: Order, csr: CheckedCsr): string {
  const { state, hierarchy, settings, limits, faults, log } = context
  const profile = profileStillOffered(context, order.profile)
  const names = order.identifiers.map(({ value }) => value)
  const notBefore = Math.floor(settings.clock() / 1_000 - settings.backdateSeconds) * 1_000
  const notAfter = notBefore + profile.lifetimeSeconds * 1_000
  const fault = faults.takeIssuance()
  const commonName = profile.hasCommonName === true ? commonNameOf(csr, names) : null
  const { identifiers } = order
  const leaf = issueLeaf(hierarchy, { identifiers, commonName, ...keyOf(csr), notBefore, notAfter, fault })
  const { der, serial, certId, fingerprint, publicKey, chains } = leaf
  const certificate = {
    id: newId(),
    accountId: order.accountId,
    orderId: order.id,
    certId,
    der,
    serial,
    names,
    notBefore,
    notAfter,
    publicKey,
    chains,
    revoked: null,
    replacedBy: null,
  }
  state.certificates.set(certificate.id, certificate)
  state.certificateByCertId.set(certId, certificate)
  state.certificateByFingerprint.set(fingerprint, certificate)
  limits.spendCertificate(names, order.replaces !== null)
  const { id: orderId, accountId, replaces } = order
  log.add({
    kind: 'issued',
    orderId,
    accountId,
    certId,
    serial,
    names,
    profile: order.profile,
    replaces,
    notBefore,
    notAfter,
  })
  return certificate.id
}

function keyOf({ spki, publicKey }: CheckedCsr): Pick<CheckedCsr, 'spki' | 'publicKey'> {
  return { spki, publicKey }
}

function commonNameOf({ commonName }: CheckedCsr, names: readonly string[]): string | null {
  return commonName ?? names.find((name) => name.length <= MOST_COMMON_NAME) ?? null
}
