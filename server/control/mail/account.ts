import type { Db, Tx } from '../db.ts'
import type { Vault } from '../vault.ts'
import type { MailChange, MailSettings, MailView } from './schema.ts'
import { findMailPassword, saveMailPassword } from './store.ts'

/** Context under which the password is sealed. */
const PASSWORD_CONTEXT = 'mail-password'

/** The mail server with all that sending needs. `password` is never logged or returned. */
export type MailAccount = MailSettings & { readonly password: string | null }

/** The account of these settings; null where no mail server is set. */
export async function readMailAccount(
  db: Db | Tx,
  vault: Vault,
  settings: MailSettings | null,
): Promise<MailAccount | null> {
  if (settings === null) return null
  const sealed = settings.user === null ? null : await findMailPassword(db)
  return { ...settings, password: sealed === null ? null : vault.unseal(sealed, PASSWORD_CONTEXT).toString() }
}

/**
 * Takes the password out of a change of the mail server and keeps it sealed; what is left is the setting.
 * Without a user, or without a mail server at all, the password is forgotten.
 */
export async function keepMailPassword(tx: Tx, vault: Vault, change: MailChange | null): Promise<MailSettings | null> {
  if (change === null) {
    await saveMailPassword(tx, null)
    return null
  }
  const { password, ...settings } = change
  if (settings.user === null || password === null) await saveMailPassword(tx, null)
  else if (password !== undefined) await saveMailPassword(tx, vault.seal(password, PASSWORD_CONTEXT))
  return settings
}

/** The mail server as the API shows it: that there is a password, never which. */
export async function mailView(db: Db | Tx, settings: MailSettings | null): Promise<MailView | null> {
  return settings === null ? null : { ...settings, hasPassword: (await findMailPassword(db)) !== null }
}
