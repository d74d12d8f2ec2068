import type { Vault } from '../vault.ts'
import { type DnsProvider, DnsProviderError } from './provider.ts'
import { createCloudflareProvider } from './providers/cloudflare.ts'
import { createHookProvider } from './providers/hook.ts'
import { createPowerDnsProvider } from './providers/powerdns.ts'
import type { ProviderReach } from './providers/reach.ts'
import { createRfc2136Provider } from './providers/rfc2136.ts'
import { createWebhookProvider } from './providers/webhook.ts'
import type { ProviderConfig, ProviderKind } from './schema.ts'

/** A provider's row, as far as working with it needs it. */
export type StoredProvider = {
  readonly id: string
  readonly tenantId: string | null
  readonly kind: ProviderKind
  readonly config: unknown
  readonly secretSealed: Uint8Array | null
  readonly zones: readonly string[]
}

/** Opens a provider: its secret is unsealed for as long as the provider is used. Throws `DnsProviderError`. */
export type OpenProvider = (row: StoredProvider) => DnsProvider

/** The context that binds a sealed secret to its row. */
export function secretContext(id: string): string {
  return `dns-provider-secret:${id}`
}

/** Makes the opener. */
export function createOpenProvider(vault: Vault, reach: ProviderReach): OpenProvider {
  return (row) => {
    const { kind, zones } = row
    const config = row.config as ProviderConfig
    const secret = row.secretSealed === null ? null : vault.unseal(row.secretSealed, secretContext(row.id)).toString()
    if (kind === 'hook') return openHook(row, config, secret)
    if (secret === null) throw new DnsProviderError('config', 'this DNS provider has no secret; set it')
    const { url = '', caPem } = config
    switch (kind) {
      case 'rfc2136': {
        const { server = '', keyName = '', algorithm = 'hmac-sha256' } = config
        const key = { name: keyName, algorithm, secret: Buffer.from(secret, 'base64') }
        return createRfc2136Provider({ server, key, zones }, reach)
      }
      case 'powerdns':
        return createPowerDnsProvider(
          { url, serverId: config.serverId ?? 'localhost', apiKey: secret, caPem, zones },
          reach,
        )
      case 'cloudflare':
        return createCloudflareProvider({ apiToken: secret, zones }, reach)
      case 'webhook':
        return createWebhookProvider({ url, key: secret, caPem, zones }, reach)
    }
  }
}

/** Whatever a row says, a program on this machine is never run for a tenant's provider. */
function openHook(row: StoredProvider, { command = '' }: ProviderConfig, secret: string | null): DnsProvider {
  if (row.tenantId !== null) throw new DnsProviderError('config', 'only the platform may have a hook')
  return createHookProvider({ command, secret, zones: row.zones })
}
