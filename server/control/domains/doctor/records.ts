import { isIP } from 'node:net'
import type { Observation } from './observation.ts'

/**
 * The exact records that bring a name here: what goes, what comes, as a zone file has them. `strange` are the
 * addresses of that family that are to go. Undefined when nothing is known of where it should lead.
 */
export function addressFix(seen: Observation, family: 4 | 6, strange: readonly string[]): string | undefined {
  const { right, route } = seen
  const type = family === 4 ? 'A' : 'AAAA'
  const expected = right.addresses.filter((address) => isIP(address) === family)
  const [alias] = route.chain.slice(1)
  if (alias !== undefined) return aliasFix(seen, alias)
  const owner = `${seen.name}.`
  const present = (family === 4 ? route.v4 : route.v6).kind === 'found' ? 'Remove' : ''
  const gone = present === '' ? '' : quoted(strange.map((address) => `${owner} ${type} ${address}`))
  const remove = gone === '' ? '' : `Remove the record ${gone}.`
  const come = quoted(expected.slice(0, 1).map((address) => `${owner} ${type} ${address}`))
  const cname = aliasInstead(seen)
  const create = come === '' ? '' : `Create the record ${come}${cname === null ? '' : `, or ${cname}`}.`
  const only = come === '' && remove === '' && cname !== null ? `Create ${cname}.` : ''
  const text = [remove, create, only].filter((part) => part !== '').join(' ')
  return text === '' ? undefined : text
}

/** A name with an alias has no other records (RFC 1034 section 3.6.2): the alias itself is what to change. */
function aliasFix({ name, right }: Observation, alias: string): string | undefined {
  const old = `"${name}. CNAME ${alias}."`
  if (right.cnameTarget !== null) return `Change the record ${old} to "${name}. CNAME ${right.cnameTarget}.".`
  const come = quoted(
    right.addresses.slice(0, 2).map((address) => `${name}. ${isIP(address) === 4 ? 'A' : 'AAAA'} ${address}`),
  )
  return come === '' ? `Remove or correct the record ${old}.` : `Replace the record ${old} by ${come}.`
}

/** Not at the top of a zone, where other records stand. */
function aliasInstead({ name, right, route }: Observation): string | null {
  if (right.cnameTarget === null || route.zone === name) return null
  return `instead of all address records "${name}. CNAME ${right.cnameTarget}."`
}

function quoted(records: readonly string[]): string {
  return records.map((record) => `"${record}"`).join(' and ')
}
