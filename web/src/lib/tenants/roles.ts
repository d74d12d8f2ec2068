import type { Role } from './api.ts'

/** The roles within a tenant, in words. */
export const roles: readonly { role: Role; label: string; text: string }[] = [
  { role: 'owner', label: 'Owner', text: 'may change everything, people included' },
  { role: 'member', label: 'Member', text: 'may change names and sites' },
  { role: 'viewer', label: 'Viewer', text: 'may look' },
]
