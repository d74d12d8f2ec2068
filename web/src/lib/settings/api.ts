import { call } from '#lib/api/client.ts'
import type { PlatformSettings, SettingsChange, ToldSettings } from '#server/control/settings/schema.ts'

export type { PlatformSettings, PublicSettings, ToldSettings } from '#server/control/settings/schema.ts'

/** Where tenants point their names, and whom they may ask. */
export function getPublicSettings(signal?: AbortSignal): Promise<ToldSettings> {
  return call('GET', '/settings/public', { signal })
}

/** All settings. */
export function getSettings(signal?: AbortSignal): Promise<PlatformSettings> {
  return call('GET', '/settings', { signal })
}

/** Changes settings; what is left out stays. */
export function changeSettings(body: SettingsChange): Promise<PlatformSettings> {
  return call('PATCH', '/settings', { body })
}
