import type { CaaLookup, CaaRecord, DoctorIssuer } from './observation.ts'

/** Flag bit of a property that a CA must understand (RFC 8659 section 4.1). */
const CRITICAL = 0x80
/** Tags that CAs understand: RFC 8659, RFC 9495. All else is unknown to some of them. */
const knownTags = ['issue', 'issuewild', 'iodef', 'issuemail']
const TAG = /^[a-z0-9]+(?:-+[a-z0-9]+)*$/i
const DOMAIN = /^[a-z0-9]+(?:-+[a-z0-9]+)*(?:\.[a-z0-9]+(?:-+[a-z0-9]+)*)*$/i
const VALUE = /^[\x21-\x3a\x3c-\x7e]*$/

/** The records that count for a name. */
export type CaaSet =
  | { readonly kind: 'none' }
  | { readonly kind: 'set'; readonly at: string; readonly records: readonly CaaRecord[] }
  | { readonly kind: 'unanswered'; readonly at: string; readonly reason: string }

/** Whether the set permits an issuer, and if not, for what reason. `record` is the one at fault, if it is one. */
export type CaaVerdict =
  | { readonly isPermitted: true; readonly methods: DoctorIssuer['methods'] }
  | {
      readonly isPermitted: false
      readonly because: 'critical' | 'issuer' | 'account' | 'method'
      readonly record: CaaRecord | null
    }

/** A change of the set: a record that goes, one that comes, or one in place of another. */
export type CaaChange = { readonly remove: CaaRecord | null; readonly add: CaaRecord | null }

/** The closest set wins (RFC 8659 section 3); a failure on the way to it leaves it open which that is. */
export function relevantSet(tree: readonly CaaLookup[]): CaaSet {
  for (const { name, result } of tree) {
    if (result.kind === 'unanswered') return { kind: 'unanswered', at: name, reason: result.reason }
    if (result.kind === 'found' && result.records.length > 0) return { kind: 'set', at: name, records: result.records }
  }
  return { kind: 'none' }
}

/**
 * Judges a set as the CA would (RFC 8659 sections 4.1 to 4.3, RFC 8657). An issuer that says no identities
 * cannot be judged and counts as permitted, unless a critical property is unknown. A verdict of `account` or
 * `method` is about the one record at fault.
 */
export function judgeCaa(records: readonly CaaRecord[], issuer: DoctorIssuer, isWildcard: boolean): CaaVerdict {
  const { methods } = issuer
  const critical = records.find(isCriticalUnknown)
  if (critical !== undefined) return { isPermitted: false, because: 'critical', record: critical }
  const properties = issueProperties(records, isWildcard)
  if (properties.length === 0 || (issuer.caaIdentities ?? []).length === 0) return { isPermitted: true, methods }
  let worst: CaaVerdict = { isPermitted: false, because: 'issuer', record: null }
  const permitted = new Set<DoctorIssuer['methods'][number]>()
  for (const record of properties) {
    const refused = refusal(record, issuer)
    if (refused === null) for (const method of methodsOf(record, issuer)) permitted.add(method)
    else if (refused !== 'issuer' && (worst.record === null || refused === 'method'))
      worst = { isPermitted: false, because: refused, record }
  }
  const left = methods.filter((method) => permitted.has(method))
  const isNamed = properties.some((record) => refusal(record, issuer) === null)
  return isNamed ? { isPermitted: true, methods: left } : worst
}

/** The smallest changes after which the set permits the issuer. */
export function caaRemedy(
  records: readonly CaaRecord[],
  issuer: DoctorIssuer,
  isWildcard: boolean,
): readonly CaaChange[] {
  const unknown = records.filter(isCriticalUnknown)
  const rest = records.filter((record) => !isCriticalUnknown(record))
  const removals = unknown.map((record) => ({ remove: record, add: null }))
  const verdict = judgeCaa(rest, issuer, isWildcard)
  if (verdict.isPermitted) return removals
  const { record } = verdict
  const identity = issuer.caaIdentities?.[0] ?? ''
  if (record !== null) return [...removals, { remove: record, add: { ...record, value: fitted(record, issuer) } }]
  const tag = isWildcard && rest.some((one) => tagOf(one) === 'issuewild') ? 'issuewild' : 'issue'
  const owner = records[0]?.owner ?? ''
  return [...removals, { remove: null, add: { owner, flags: 0, tag, value: identity } }]
}

/** As a zone file has it (RFC 8659 section 4.1.1). */
export function caaText({ owner, flags, tag, value }: CaaRecord): string {
  return `${owner}. CAA ${flags} ${printable(tag)} "${printable(value)}"`
}

/** Properties that decide: for a wildcard `issuewild` if there is one, else `issue` (RFC 8659 section 4.3). */
function issueProperties(records: readonly CaaRecord[], isWildcard: boolean): CaaRecord[] {
  const wild = isWildcard ? records.filter((record) => tagOf(record) === 'issuewild') : []
  return wild.length > 0 ? wild : records.filter((record) => tagOf(record) === 'issue')
}

function isCriticalUnknown(record: CaaRecord): boolean {
  return (record.flags & CRITICAL) !== 0 && !knownTags.includes(tagOf(record))
}

function refusal(record: CaaRecord, issuer: DoctorIssuer): 'issuer' | 'account' | 'method' | null {
  const value = parseValue(record.value)
  if (value === null || !issuer.caaIdentities?.some((one) => one.toLowerCase() === value.domain)) return 'issuer'
  const accounts = value.parameters.filter(([tag]) => tag === 'accounturi')
  // More than one is unsatisfiable (RFC 8657 section 3).
  if (accounts.length > 1 || accounts.some(([, uri]) => uri !== issuer.accountUrl)) return 'account'
  return methodsOf(record, issuer).length === 0 && issuer.methods.length > 0 ? 'method' : null
}

/** The issuer's methods that the record leaves; those of `validationmethods` alone (RFC 8657 section 4). */
function methodsOf(record: CaaRecord, issuer: DoctorIssuer): DoctorIssuer['methods'] {
  const lists = (parseValue(record.value)?.parameters ?? []).filter(([tag]) => tag === 'validationmethods')
  if (lists.length > 1) return []
  const allowed = lists[0]?.[1].split(',')
  return allowed === undefined ? issuer.methods : issuer.methods.filter((method) => allowed.includes(method))
}

/** The same value with our account and methods in it; what else it says stays. */
function fitted(record: CaaRecord, issuer: DoctorIssuer): string {
  const { domain, parameters } = parseValue(record.value) ?? { domain: '', parameters: [] }
  const lists = parameters.filter(([tag]) => tag === 'validationmethods').flatMap(([, list]) => list.split(','))
  const methods = [...new Set([...lists.filter((method) => method !== ''), ...issuer.methods])]
  const hadAccount = parameters.some(([tag]) => tag === 'accounturi')
  const account = hadAccount && issuer.accountUrl !== null ? [`accounturi=${issuer.accountUrl}`] : []
  const list = lists.length > 0 && methods.length > 0 ? [`validationmethods=${methods.join(',')}`] : []
  const others = parameters.filter(([tag]) => tag !== 'accounturi' && tag !== 'validationmethods')
  return [domain, ...account, ...list, ...others.map(([tag, value]) => `${tag}=${value}`)].join('; ')
}

type IssueValue = { readonly domain: string; readonly parameters: readonly (readonly [string, string])[] }

/** RFC 8659 section 4.2. Null: malformed, which permits nobody. An empty domain permits nobody either. */
function parseValue(text: string): IssueValue | null {
  const [first = '', ...rest] = text.split(';').map((part) => part.replace(/^[ \t]+|[ \t]+$/g, ''))
  if (first !== '' && !DOMAIN.test(first)) return null
  const parts = rest.length === 1 && rest[0] === '' ? [] : rest
  const parameters: [string, string][] = []
  for (const part of parts) {
    const equals = part.indexOf('=')
    const tag = part.slice(0, Math.max(equals, 0)).trim().toLowerCase()
    const value = part.slice(equals + 1).trim()
    if (equals < 0 || !TAG.test(tag) || !VALUE.test(value)) return null
    parameters.push([tag, value])
  }
  return { domain: first.toLowerCase(), parameters }
}

/** Tags are compared without case (RFC 8659 section 4.1). */
function tagOf(record: CaaRecord): string {
  return record.tag.toLowerCase()
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').replace(/["\\]/g, '\\$&')
}
