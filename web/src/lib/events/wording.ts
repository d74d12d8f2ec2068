/** Events in words; one that is not known here is shown by its own name. */
const words: Record<string, string> = {
  'hostname.created': 'Name added',
  'hostname.verified': 'Ownership proven',
  'hostname.lapsed': 'The proof has gone',
  'hostname.disputed': 'Another tenant holds the name',
  'hostname.released': 'Another tenant has proven the name',
  'hostname.changed': 'Shows another site',
  'hostname.deleted': 'Name removed',
  'domain.created': 'Domain claimed',
  'domain.subname_claimed': 'Somebody claims a name below this one',
  'certificate.wanted': 'Certificate wanted',
  'certificate.ordered': 'Certificate ordered',
  'certificate.issued': 'Certificate issued',
  'site.created': 'Site made',
  'site.changed': 'Site changed',
  'release.created': 'Release uploaded',
  'release.activated': 'Release made active',
  'release.deleted': 'Release removed',
  'tenant.created': 'Tenant made',
  'tenant.changed': 'Tenant changed',
  'tenant.suspended': 'Tenant suspended',
  'tenant.resumed': 'Tenant resumed',
  'member.added': 'Person added',
  'member.changed': 'Role changed',
  'member.removed': 'Person taken out',
}

/** What happened, in words: `hostname.verified` is "Ownership proven". */
export function wordsFor(action: string): string {
  const known = words[action]
  if (known !== undefined) return known
  const text = action.replaceAll(/[._]/g, ' ')
  return text.charAt(0).toUpperCase() + text.slice(1)
}

/** Who did it, as far as the person may know: people by "a person", Nameplate by its name. */
export function actorWords(actor: string, ownUserId: string | undefined): string {
  if (actor === 'system') return 'Nameplate'
  if (ownUserId !== undefined && actor === `user:${ownUserId}`) return 'You'
  return actor.startsWith('token:') ? 'An API token' : 'Somebody else'
}
