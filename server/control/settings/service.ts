import { type Actor, actorName, requireAdmin, requireUser } from '../auth/access.ts'
import { type Db, write } from '../db.ts'
import { recordEvent } from '../events/record.ts'
import type { WriteOptions } from '../schema.ts'
import type { PlatformSettings, PublicSettings, SettingsChange } from './schema.ts'
import { readPlatformSettings, upsertSetting } from './store.ts'

/** Settings that are kept in the database: platform people read all, everybody what instructs tenants. */
export type SettingsService = {
  read(actor: Actor): Promise<PlatformSettings>
  readPublic(actor: Actor): Promise<PublicSettings>
  /** Changes what is given; the rest stays. */
  change(actor: Actor, input: SettingsChange, options: WriteOptions): Promise<PlatformSettings>
}

/** Makes the service. */
export function createSettingsService(db: Db): SettingsService {
  return {
    async read(actor) {
      requireAdmin(actor, 'read')
      return readPlatformSettings(db)
    },
    async readPublic(actor) {
      requireUser(actor)
      const { publicAddresses, cnameTarget, supportContact } = await readPlatformSettings(db)
      return { publicAddresses, cnameTarget, supportContact }
    },
    async change(actor, input, options) {
      requireAdmin(actor)
      return write(db, options, async (tx) => {
        for (const [key, value] of Object.entries(input)) await upsertSetting(tx, key, value)
        await recordEvent(tx, {
          actor: actorName(actor),
          tenantId: null,
          action: 'settings.changed',
          detail: { keys: Object.keys(input) },
        })
        return readPlatformSettings(tx)
      })
    },
  }
}
