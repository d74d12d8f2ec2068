import { parse } from 'tldts'
import { isAtOrBelow, type NameProblem, normalizeName, unicodeName } from '../../contract/names.ts'
import { AppError, type ErrorCode } from '../errors.ts'

/** Labels of a name: public CAs issue for at most 10, and each label costs a lookup. */
const MAX_LABELS = 16

/**
 * Names that the public DNS does not have, so that nobody can prove them: RFC 6761, RFC 6762, RFC 7686,
 * RFC 8375, RFC 9476 and ICANN's private-use `internal`. `.test` and `.example` stay possible: a test
 * installation has a resolver of its own.
 */
const specialUse = ['local', 'localhost', 'invalid', 'onion', 'internal', 'alt', 'arpa']

/** A name that may be claimed. `registrable` is the domain right below its public suffix. */
export type ClaimableName = {
  /** ASCII, lower case, `*.` first when it is a wildcard. */
  readonly name: string
  /** `name` without `*.`. */
  readonly base: string
  readonly registrable: string
  readonly isWildcard: boolean
}

/**
 * Brings a name as a person wrote it to stored form and applies the rules of what can be hosted.
 * `reserved` are names of the installation itself: they and all below them are refused. Private rules
 * of the public-suffix list count as boundaries. Throws NAME_INVALID, NAME_TOO_LONG,
 * NAME_IS_ADDRESS, NAME_WILDCARD, NAME_PUBLIC_SUFFIX or NAME_RESERVED.
 */
export function claimableName(text: string, reserved: readonly string[]): ClaimableName {
  refuseSpecialUse(text)
  const result = normalizeName(text, { wildcard: true })
  if (!result.ok) throw refused(result.problem, text)
  const { name } = result
  const isWildcard = name.startsWith('*.')
  const base = isWildcard ? name.slice(2) : name
  if (name.split('.').length > MAX_LABELS)
    throw fieldError('NAME_TOO_LONG', `A name may have at most ${MAX_LABELS} parts between dots.`)
  refuseSpecialUse(base)
  const registrable = registrableDomain(base)
  if (registrable === null) throw fieldError('NAME_PUBLIC_SUFFIX', suffixDetail(base, isWildcard))
  if (reserved.some((own) => isAtOrBelow(base, own)))
    throw fieldError('NAME_RESERVED', `"${unicodeName(name)}" belongs to this installation. Use another name.`)
  return { name, base, registrable, isWildcard }
}

/** The registrable domain of a stored name without `*.`, or null when it is itself a public suffix. */
export function registrableDomain(base: string): string | null {
  return parse(base, { allowPrivateDomains: true, extractHostname: false, validateHostname: false }).domain
}

function refuseSpecialUse(text: string): void {
  const last = text.trim().toLowerCase().replace(/\.$/, '').split('.').at(-1) ?? ''
  if (specialUse.includes(last))
    throw fieldError(
      'NAME_RESERVED',
      `Names that end in ".${last}" do not exist in the public DNS and cannot be hosted.`,
    )
}

function suffixDetail(base: string, isWildcard: boolean): string {
  const suffix = unicodeName(base)
  return isWildcard
    ? `"*.${suffix}" would cover the names of everybody below "${suffix}". Add the wildcard below your own domain.`
    : `"${suffix}" is a suffix under which everybody can register. Add your own name below it, for example "shop.${suffix}".`
}

const problems: Record<NameProblem, readonly [ErrorCode, (shown: string) => string]> = {
  empty: ['NAME_INVALID', () => 'Write the name, for example "www.example.com".'],
  label: [
    'NAME_INVALID',
    (shown) => `"${shown}" is not a host name: use letters, digits and hyphens, with single dots in between.`,
  ],
  'single-label': [
    'NAME_INVALID',
    (shown) => `"${shown}" has no dot: write the whole name, as in "${shown}.example.com".`,
  ],
  'too-long': ['NAME_TOO_LONG', () => 'The name is too long: at most 253 characters, and 63 between two dots.'],
  address: [
    'NAME_IS_ADDRESS',
    (shown) => `"${shown}" is an IP address. Add a name; addresses are given to sites by the administrator.`,
  ],
  wildcard: ['NAME_WILDCARD', () => 'An asterisk can only stand for the first part of a name, as in "*.example.com".'],
}

function refused(problem: NameProblem, text: string): AppError {
  const shown = text.trim().slice(0, 80)
  const isWildcard = shown.startsWith('*.')
  const label = shown.toLowerCase().replace(/^\*\./, '').replace(/\.$/, '')
  if (problem === 'single-label' && isListedSuffix(label))
    return fieldError('NAME_PUBLIC_SUFFIX', suffixDetail(label, isWildcard))
  const [code, detail] = problems[problem]
  return fieldError(code, detail(shown))
}

function isListedSuffix(label: string): boolean {
  return parse(label, { extractHostname: false, validateHostname: false }).isIcann === true
}

function fieldError(code: ErrorCode, detail: string): AppError {
  return new AppError(code, detail, { errors: [{ field: 'name', detail }] })
}
