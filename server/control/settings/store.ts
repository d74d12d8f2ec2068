import { Value } from 'typebox/value'
import { defaultAccessLog } from '../../contract/access-log.ts'
import { defaultListenerLimits } from '../../contract/listener-limits.ts'
import type { Db, Tx } from '../db.ts'
import type { Prisma } from '../generated/client.ts'
import { PlatformSettings } from './schema.ts'

const defaults: PlatformSettings = {
  publicAddresses: [],
  cnameTarget: null,
  supportContact: null,
  expiredCertificate: 'serve',
  listenerLimits: { ...defaultListenerLimits, exempt: [...defaultListenerLimits.exempt] },
  accessLog: { ...defaultAccessLog },
  mail: null,
  probe: { isEnabled: true },
  doctor: { httpProbe: true },
}

/** All settings; what is not stored, or stored by another version in a way that does not fit, has its default. */
export async function readPlatformSettings(db: Db | Tx): Promise<PlatformSettings> {
  const rows = await db.setting.findMany({ where: { key: { in: Object.keys(defaults) } } })
  const stored = rows.filter(({ key, value }) => Value.Check(PlatformSettings, { ...defaults, [key]: value }))
  return { ...defaults, ...Object.fromEntries(stored.map(({ key, value }) => [key, value])) }
}

/** Stores one setting. */
export async function upsertSetting(tx: Tx, key: string, value: Prisma.InputJsonValue | null): Promise<void> {
  await tx.$executeRaw`
    insert into setting (key, value, updated_at) values (${key}, ${JSON.stringify(value)}::jsonb, now())
    on conflict (key) do update set value = excluded.value, updated_at = now()`
}
