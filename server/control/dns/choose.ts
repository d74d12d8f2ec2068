import { challengeName } from './delegation.ts'
import { zoneOf } from './provider.ts'
import type { ProviderRow } from './store.ts'

/**
 * Which provider writes the record of `name` at `fqdn`, where its delegation ends: the tenant's own with the
 * nearest zone; else the platform's. A platform's zone serves all tenants, so there a name may only be written
 * that names the hostname itself (`platformTargets`): nobody can make us write at another's name by a CNAME.
 */
export function chooseProvider(
  providers: readonly ProviderRow[],
  tenantId: string,
  name: string,
  fqdn: string,
): ProviderRow | null {
  const own = providers.filter((provider) => provider.tenantId === tenantId)
  const platform = providers.filter(
    ({ tenantId: owner, zones }) => owner === null && platformTargets(name, zones).includes(fqdn),
  )
  return nearest(own, fqdn) ?? nearest(platform, fqdn)
}

/** Names in the platform's zones at which a record for `name` may be, those to recommend first. */
export function platformTargets(name: string, zones: readonly string[]): string[] {
  const plain = name.replace(/^\*\./, '')
  const direct = challengeName(name)
  return [
    ...zones.map((zone) => `${plain}.${zone}`),
    ...zones.map((zone) => `_acme-challenge.${plain}.${zone}`),
    ...(zoneOf(zones, direct) === null ? [] : [direct]),
  ]
}

function nearest(providers: readonly ProviderRow[], fqdn: string): ProviderRow | null {
  let best: { provider: ProviderRow; zone: string } | null = null
  for (const provider of providers) {
    const zone = zoneOf(provider.zones, fqdn)
    if (zone !== null && (best === null || zone.length > best.zone.length)) best = { provider, zone }
  }
  return best?.provider ?? null
}
