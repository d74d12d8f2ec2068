import { isAtOrBelow, unicodeName } from '../../contract/names.ts'
import type { ProofMethod } from '../generated/enums.ts'
import type { Instruction } from './schema.ts'

/** Longest name in presentation form (RFC 1035 section 2.3.4): a challenge name beyond it cannot exist. */
const MAX_NAME_LENGTH = 253
const CHALLENGE_LABEL = '_nameplate-challenge'

/** A name that somebody wants to be served, with what proofs are measured by. */
export type Claim = { readonly name: string; readonly base: string; readonly registrable: string }

/** Evidence that was seen once; `checkedAt` is when it was seen last. */
export type SeenProof = {
  readonly name: string
  readonly method: ProofMethod
  readonly checkedAt: Date
  readonly lapsedAt: Date | null
}

/** What both the TXT record and the HTTP answer hold. The token belongs to tenant and domain. */
export function proofValue(token: string): string {
  return `nameplate-verify=${token}`
}

/** Where the TXT record that proves `name` and all below it stands. */
export function challengeName(name: string): string {
  return `${CHALLENGE_LABEL}.${name}`
}

/** Where the HTTP proof of exactly `hostname` is looked for. */
export function httpProofUrl(hostname: string, token: string): string {
  return `http://${hostname}/.well-known/nameplate-challenge/${token}`
}

/** The claim of a stored hostname under its stored domain. */
export function claimOf(name: string, registrable: string): Claim {
  return { name, base: name.startsWith('*.') ? name.slice(2) : name, registrable }
}

/**
 * The names whose TXT record may prove a claim, the registrable domain first. `foreign` are names
 * that other tenants have proven by TXT: below such a name a proof at or above it does not count,
 * so that a name in somebody else's domain needs a proof of its own. The very name always counts.
 */
export function provingNames(claim: Claim, foreign: ReadonlySet<string>): string[] {
  const chain = [claim.base]
  for (let name = claim.base; name !== claim.registrable && name.includes('.'); ) {
    name = name.slice(name.indexOf('.') + 1)
    chain.push(name)
  }
  const border = chain.findIndex((name) => foreign.has(name))
  const own = border === -1 ? chain : chain.slice(0, Math.max(border, 1))
  return own.filter((name) => challengeName(name).length <= MAX_NAME_LENGTH).reverse()
}

/**
 * The proof that covers a claim, or undefined: TXT at one of its proving names, HTTP and trusted at that
 * hostname alone, HTTP never a wildcard. A TXT proof that was last seen before `seenAfter` does not
 * count; the other methods cannot be looked at again and stay.
 */
export function coveringProof<P extends SeenProof>(
  claim: Claim,
  proofs: readonly P[],
  foreign: ReadonlySet<string>,
  seenAfter: Date,
): P | undefined {
  const names = provingNames(claim, foreign)
  return proofs.find((proof) => {
    if (proof.lapsedAt !== null) return false
    if (proof.method === 'txt') return names.includes(proof.name) && proof.checkedAt >= seenAfter
    return proof.name === claim.name && (proof.method === 'trusted' || !claim.name.startsWith('*.'))
  })
}

/** What a tenant may do to prove a claim; the first is the one to recommend. */
export function instructionsFor(claim: Claim, token: string, foreign: ReadonlySet<string>): Instruction[] {
  const value = proofValue(token)
  const txt = provingNames(claim, foreign)
  const offered = txt.length > 2 ? [txt[0], txt.at(-1)] : txt
  const instructions = offered.flatMap((name): Instruction[] =>
    name === undefined ? [] : [{ type: 'TXT', name: challengeName(name), value, proves: coverage(name) }],
  )
  if (claim.name.startsWith('*.')) return instructions
  const url = httpProofUrl(claim.name, token)
  return [...instructions, { type: 'HTTP', name: url, value, proves: `${unicodeName(claim.name)} alone` }]
}

/** The names of `foreign` that a claim lies strictly below: their owners are told of it. */
export function namesAbove(claim: Claim, foreign: Iterable<string>): string[] {
  return [...foreign].filter((name) => name !== claim.base && isAtOrBelow(claim.base, name))
}

function coverage(name: string): string {
  return `${unicodeName(name)} and every name below it`
}
