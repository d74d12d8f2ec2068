import type { Context } from './context.ts'
import type { Identifier } from './identifier.ts'
import { AcmeProblem } from './problem.ts'
import type { Profile } from './settings.ts'

/** Most names of an order where no profile says so. */
const MOST_NAMES = 100

/**
 * The profile of an order (draft-ietf-acme-profiles section 4): the one asked for, or the default; null where none are
 * offered. Throws `invalidProfile`, `malformed` for too many names, `rejectedIdentifier` for an address it excludes.
 */
export function profileOf(context: Context, asked: unknown, identifiers: readonly Identifier[]): string | null {
  const { profiles, settings } = context
  if (asked !== undefined && (typeof asked !== 'string' || !profiles.has(asked))) {
    throw new AcmeProblem('invalidProfile', `Profile ${JSON.stringify(asked)} not recognized`)
  }
  const preferred = settings.defaultProfile
  const fallback = preferred !== null && profiles.has(preferred) ? preferred : (profiles.keys().next().value ?? null)
  const name = (asked as string | undefined) ?? fallback
  const profile = name === null ? null : (profiles.get(name) ?? null)
  const most = profile?.maxNames ?? MOST_NAMES
  if (identifiers.length > most)
    throw new AcmeProblem('malformed', `Order cannot contain more than ${most} identifiers`)
  const address = profile?.allowsAddresses === false ? identifiers.find(({ type }) => type === 'ip') : undefined
  if (address !== undefined) {
    throw new AcmeProblem('rejectedIdentifier', `Profile ${JSON.stringify(name)} does not permit ip type identifiers`, {
      subproblems: [
        { type: 'rejectedIdentifier', detail: 'Profile does not permit ip type identifiers', identifier: address },
      ],
    })
  }
  return name
}

/** The profile that an order was placed with. Throws `invalidProfile` when it was removed since (section 4). */
export function profileStillOffered({ profiles, settings }: Context, name: string | null): Profile {
  if (name === null) return { description: '', lifetimeSeconds: settings.lifetimeSeconds, maxNames: MOST_NAMES }
  const profile = profiles.get(name)
  if (profile === undefined)
    throw new AcmeProblem('invalidProfile', `Profile ${JSON.stringify(name)} is no longer offered`)
  return profile
}
