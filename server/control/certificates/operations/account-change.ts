import { faultPoint } from '../../../process/fault-point.ts'
import type { Vault } from '../../vault.ts'
import { issuerSecret } from '../issuer-store.ts'
import type { AccountRow } from './account-store.ts'
import { type AcmeAdmin, isProblem } from './acme-admin.ts'

/**
 * Brings the CA to the next key of an account. Killed anywhere it can be called again: the CA is asked first
 * whether it knows the next key already (RFC 8555 sections 7.3.1 and 7.3.5). Throws `IssuerProblem`.
 */
export async function rollOverAt(admin: AcmeAdmin, vault: Vault, account: AccountRow): Promise<void> {
  const { id, url, keySealed, nextKeySealed } = account
  // A run that was killed after its last commit leaves nothing to do.
  if (url === null || nextKeySealed === null) return
  const open = (sealed: Uint8Array): string => vault.unseal(sealed, issuerSecret.accountKey(id)).toString()
  const nextKeyPem = open(nextKeySealed)
  if ((await admin.findAccount(nextKeyPem)) === url) return
  await admin.changeKey({ keyPem: open(keySealed), url }, nextKeyPem)
  faultPoint('account.key-changed')
}

/** Ends an account at the CA; one that has ended, or that the CA does not know, is fine. Throws `IssuerProblem`. */
export async function deactivateAt(admin: AcmeAdmin, vault: Vault, account: AccountRow): Promise<void> {
  const { id, url, keySealed } = account
  if (url === null) return
  try {
    await admin.deactivate({ keyPem: vault.unseal(keySealed, issuerSecret.accountKey(id)).toString(), url })
  } catch (error) {
    // RFC 8555 section 7.3.6: every request of an account that has ended is refused as unauthorized.
    if (!isProblem(error, 'unauthorized', 'accountDoesNotExist')) throw error
  }
}
