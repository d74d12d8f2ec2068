import { CidrError, parseCidr } from '../../contract/reach.ts'
import { type Actor, actorName, requireAdmin, requireUser } from '../auth/access.ts'
import { type Db, type Tx, write } from '../db.ts'
import { AppError } from '../errors.ts'
import { recordEvent } from '../events/record.ts'
import { keepMailPassword, mailView } from '../mail/account.ts'
import { checkMail } from '../mail/rules.ts'
import type { WriteOptions } from '../schema.ts'
import type { Vault } from '../vault.ts'
import type { SettingsChange, SettingsView, ToldSettings } from './schema.ts'
import { readPlatformSettings, upsertSetting } from './store.ts'

/** Settings that are kept in the database: platform people read all, everybody what instructs tenants. */
export type SettingsService = {
  read(actor: Actor): Promise<SettingsView>
  readPublic(actor: Actor): Promise<ToldSettings>
  /** Changes what is given; the rest stays. */
  change(actor: Actor, input: SettingsChange, options: WriteOptions): Promise<SettingsView>
}

/** HTTPS without a port in its URL. */
const USUAL_PORT = 443

function checkCidrs(cidrs: readonly string[]): void {
  try {
    for (const cidr of cidrs) parseCidr(cidr)
  } catch (error) {
    if (!(error instanceof CidrError)) throw error
    throw new AppError('INVALID_INPUT', `listenerLimits.exempt: ${error.message}.`, {
      errors: [{ field: 'listenerLimits.exempt', detail: error.message }],
      cause: error,
    })
  }
}

/** Makes the service; `httpsPort` tells where the edges answer, null while none was heard. */
export function createSettingsService(db: Db, vault: Vault, httpsPort: () => Promise<number | null>): SettingsService {
  return {
    async read(actor) {
      requireAdmin(actor, 'read')
      return viewOf(db)
    },
    async readPublic(actor) {
      requireUser(actor)
      const { publicAddresses, cnameTarget, supportContact } = await readPlatformSettings(db)
      return { publicAddresses, cnameTarget, supportContact, httpsPort: (await httpsPort()) ?? USUAL_PORT }
    },
    async change(actor, input, options) {
      requireAdmin(actor)
      checkCidrs(input.listenerLimits?.exempt ?? [])
      const { mail, ...rest } = input
      if (mail != null) checkMail(mail)
      return write(db, options, async (tx) => {
        for (const [key, value] of Object.entries(rest)) await upsertSetting(tx, key, value)
        if (mail !== undefined) await upsertSetting(tx, 'mail', await keepMailPassword(tx, vault, mail))
        await recordEvent(tx, {
          actor: actorName(actor),
          tenantId: null,
          action: 'settings.changed',
          detail: { keys: Object.keys(input) },
        })
        return viewOf(tx)
      })
    },
  }
}

async function viewOf(db: Db | Tx): Promise<SettingsView> {
  const settings = await readPlatformSettings(db)
  return { ...settings, mail: await mailView(db, settings.mail) }
}
