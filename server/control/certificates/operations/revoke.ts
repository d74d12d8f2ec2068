import type { Vault } from '../../vault.ts'
import { IssuerProblem, ownProblems } from '../issuer.ts'
import { type IssuerRow, issuerSecret } from '../issuer-store.ts'
import { certificateKeyContext } from '../store.ts'
import { type AcmeAdmin, isProblem, type Signer } from './acme-admin.ts'
import type { RevocableVersion } from './revocation-store.ts'
import { type RevocationReason, reasonCodes } from './schema.ts'

/** No CA that is set up here has issued the certificate. */
export const FOREIGN_CA = 'urn:nameplate:issuer:foreignCertificate'

/** What revoking needs. */
export type RevokeDeps = { readonly vault: Vault; readonly adminOf: (issuer: IssuerRow) => AcmeAdmin }

/**
 * Tells the CA: by the account that orders there, and where it is not that account's certificate by its own key
 * (RFC 8555 section 7.6). An uploaded certificate is offered to each ACME issuer, signed by its own key: the
 * one that issued it knows it. The local CA has no list to put it on. Throws `IssuerProblem`.
 */
export async function revokeAtCa(
  { vault, adminOf }: RevokeDeps,
  version: RevocableVersion,
  reason: RevocationReason,
  issuers: readonly IssuerRow[],
): Promise<void> {
  const keyPem = vault.unseal(version.keySealed, certificateKeyContext(version.fingerprint)).toString()
  const ownKey: Signer = { keyPem, url: null }
  const code = reasonCodes[reason]
  const issuer = issuers.find(({ id }) => id === version.issuerId)
  if (issuer === undefined)
    return revokeForeign(issuers, (admin) => admin.revoke(ownKey, version.chainPem, code), adminOf)
  if (issuer.kind === 'local') return
  const admin = adminOf(issuer)
  const account = accountOf(vault, issuer)
  if (account === null) return admin.revoke(ownKey, version.chainPem, code)
  try {
    await admin.revoke(account, version.chainPem, code)
  } catch (error) {
    if (!isProblem(error, 'unauthorized', 'accountDoesNotExist', 'malformed')) throw error
    await admin.revoke(ownKey, version.chainPem, code)
  }
}

async function revokeForeign(
  issuers: readonly IssuerRow[],
  revoke: (admin: AcmeAdmin) => Promise<void>,
  adminOf: RevokeDeps['adminOf'],
): Promise<void> {
  for (const issuer of issuers.filter(({ kind }) => kind === 'acme')) {
    try {
      return await revoke(adminOf(issuer))
    } catch (error) {
      const isTransient =
        !(error instanceof IssuerProblem) || error.status === 429 || error.status < 400 || error.status >= 500
      if (isTransient) throw error
    }
  }
  const detail = 'no CA that is set up here has issued this certificate'
  throw new IssuerProblem({ type: FOREIGN_CA, detail, status: 404 })
}

function accountOf(vault: Vault, issuer: IssuerRow): Signer | null {
  const [account] = issuer.accounts
  if (account === undefined || account.url === null) return null
  return { keyPem: vault.unseal(account.keySealed, issuerSecret.accountKey(account.id)).toString(), url: account.url }
}

/** Asks a CA no more about what it does not want: whether a failure will stay one. */
export function isFinal(error: unknown): boolean {
  if (!(error instanceof IssuerProblem)) return false
  if (error.type === ownProblems.malformedAnswer || error.type === ownProblems.unreachable) return false
  return error.status >= 400 && error.status < 500 && error.status !== 429 && !isProblem(error, 'badNonce')
}
