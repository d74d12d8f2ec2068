/** Events in words; one that is not known here is shown by its own name. */
const words: Record<string, string> = {
  'hostname.created': 'Name added',
  'hostname.claimed': 'Name claimed',
  'hostname.verified': 'Ownership proven',
  'hostname.lapsed': 'Proof has gone',
  'hostname.disputed': 'Another customer holds the name',
  'hostname.released': 'Name given up',
  'hostname.updated': 'Name changed',
  'hostname.moved': 'Shows another site',
  'hostname.deleted': 'Name removed',
  'domain.created': 'Domain claimed',
  'domain.verified': 'Domain proven',
  'certificate.created': 'Certificate wanted',
  'certificate.ordered': 'Certificate ordered',
  'certificate.issued': 'Certificate issued',
  'certificate.renewed': 'Certificate renewed',
  'certificate.failed': 'Certificate could not be had',
  'certificate.paused': 'Certificate paused',
  'certificate.retired': 'Certificate retired',
  'certificate.revoked': 'Certificate revoked',
  'site.created': 'Site made',
  'site.updated': 'Site changed',
  'site.deleted': 'Site removed',
  'release.created': 'Release uploaded',
  'release.uploaded': 'Release uploaded',
  'release.activated': 'Release made active',
  'release.deleted': 'Release removed',
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
