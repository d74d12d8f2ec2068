import type { FieldProblem } from '../../errors.ts'
import { covers } from './names.ts'
import type { CoverableHostname } from './upload-store.ts'

/** Which hostnames are to use an upload, and why some cannot. */
export type Coverage = { readonly hostnames: readonly CoverableHostname[]; readonly problems: readonly FieldProblem[] }

/** How many names are listed in one sentence. */
const MAX_LISTED = 10

/**
 * Chooses, among the tenant's own proven hostnames, those that use a certificate with these names: the ones
 * that were asked for, else all that it covers. `present` are those that use it already: the new version
 * must not leave one of them without. Pure.
 */
export function coverageOf(
  names: readonly string[],
  proven: readonly CoverableHostname[],
  asked: readonly string[] | undefined,
  present: readonly CoverableHostname[] = [],
): Coverage {
  const problems: FieldProblem[] = []
  const covered = proven.filter(({ name }) => covers(names, name))
  const wanted = asked === undefined ? (present.length > 0 ? present : covered) : chosen(proven, asked, problems)
  const kept = [...new Map([...present, ...wanted].map((row) => [row.id, row])).values()]
  const missing = kept.filter(({ name }) => !covers(names, name)).map(({ name }) => name)
  if (missing.length > 0)
    problems.push({
      field: asked === undefined ? 'certificatePem' : 'hostnameIds',
      detail: `It does not cover ${listed(missing)}.`,
    })
  else if (covered.length === 0)
    problems.push({
      field: 'certificatePem',
      detail: `It is for ${listed(names)}; none of your proven hostnames is among them. Add and prove the hostname first.`,
    })
  return { hostnames: kept, problems }
}

function chosen(
  proven: readonly CoverableHostname[],
  asked: readonly string[],
  problems: FieldProblem[],
): CoverableHostname[] {
  const byId = new Map(proven.map((row) => [row.id, row]))
  const unknown = asked.filter((id) => !byId.has(id))
  if (unknown.length > 0)
    problems.push({ field: 'hostnameIds', detail: `These are no proven hostnames of this tenant: ${listed(unknown)}.` })
  return asked.flatMap((id) => byId.get(id) ?? [])
}

function listed(names: readonly string[]): string {
  const more = names.length - MAX_LISTED
  return names.slice(0, MAX_LISTED).join(', ') + (more > 0 ? ` and ${more} more` : '')
}
