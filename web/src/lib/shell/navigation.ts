import type { IconName } from '#lib/ui/icons.ts'

/** A place in the navigation. */
export type Place = { href: string; label: string; icon: IconName }

/** What everybody has. */
export const places: readonly Place[] = [
  { href: '/hostnames', label: 'Hostnames', icon: 'globe' },
  { href: '/sites', label: 'Sites', icon: 'site' },
  { href: '/certificates', label: 'Certificates', icon: 'certificate' },
]

/** What the platform's own people have besides. */
export const adminPlaces: readonly Place[] = [
  { href: '/admin/tenants', label: 'Tenants', icon: 'people' },
  { href: '/admin/addresses', label: 'Addresses', icon: 'address' },
  { href: '/admin/issuers', label: 'Issuers', icon: 'issuer' },
  { href: '/admin/settings', label: 'Settings', icon: 'settings' },
]

/** Whether a page is at or below a place. */
export function isAt(pathname: string, place: Place): boolean {
  return pathname === place.href || pathname.startsWith(`${place.href}/`)
}
