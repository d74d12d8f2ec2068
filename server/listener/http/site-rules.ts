import type { SiteRecord } from '../../contract/records.ts'
import { matchesPath, type SiteOptions, siteOptions } from '../../contract/site-options.ts'
import type { Exchange, Fields } from './exchange.ts'
import type { Target } from './target.ts'

/** What every kind of site may set: fields of answers, and redirects. */

const optionsOfRecord = new WeakMap<SiteRecord, SiteOptions>()

/** The options of a record, made once for as long as the record is cached. */
export function optionsOf(record: SiteRecord): SiteOptions {
  const known = optionsOfRecord.get(record)
  if (known !== undefined) return known
  const made = siteOptions(record.options)
  optionsOfRecord.set(record, made)
  return made
}

/** Changes the fields of an answer by the rules of its site. Null: there is nothing to change. */
export type FieldRules = ((fields: Fields) => Fields) | null

/**
 * The rules for answers to a decoded path. Header rules are applied in their order, then HSTS, which means something
 * over TLS alone (RFC 6797 section 7.2).
 */
export function fieldRules(options: SiteOptions, path: string, isSecure: boolean): FieldRules {
  const changes = options.headers.filter((rule) => matchesPath(rule.path, path)).map((rule) => Object.entries(rule.set))
  const hsts = isSecure ? hstsValue(options) : null
  if (changes.length === 0 && hsts === null) return null
  const all: [string, string | null][] = changes.flat()
  if (hsts !== null) all.push(['strict-transport-security', hsts])
  return (fields) => all.reduce((before, [name, value]) => changed(before, name.toLowerCase(), value), fields)
}

function changed(fields: Fields, name: string, value: string | null): Fields {
  const others = fields.filter(([other]) => other !== name)
  return value === null ? others : [...others, [name, value]]
}

function hstsValue({ hsts }: SiteOptions): string | null {
  if (hsts === null) return null
  const parts = [`max-age=${hsts.maxAgeSeconds}`]
  if (hsts.includeSubDomains) parts.push('includeSubDomains')
  if (hsts.preload) parts.push('preload')
  return parts.join('; ')
}

/** The same exchange, whose answer follows the rules of its site. */
export function withRules(exchange: Exchange, rules: FieldRules): Exchange {
  if (rules === null) return exchange
  const respond: Exchange['respond'] = (status, fields, options) => exchange.respond(status, rules(fields), options)
  return Object.create(exchange, { respond: { value: respond } }) as Exchange
}

/** Where the first redirect rule that matches sends a request, or null. */
export function redirectOf(options: SiteOptions, path: string, target: Target): { to: string; status: number } | null {
  const rule = options.redirects.find((one) => matchesPath(one.path, path))
  if (rule === undefined) return null
  const splat = rule.path.endsWith('*') && rule.to.endsWith('*') ? path.slice(rule.path.length - 1) : null
  const to = splat === null ? rule.to : rule.to.slice(0, -1) + encodeURI(splat)
  return { to: withQuery(onThisHost(to), target.query), status: rule.status }
}

/** A target that is a path stays one: `//name` would be another host (RFC 3986 section 4.2). */
function onThisHost(to: string): string {
  return to.startsWith('/') ? to.replace(/^[/\\]+/, '/') : to
}

function withQuery(to: string, query: string): string {
  if (query === '') return to
  return to.includes('?') ? `${to}&${query.slice(1)}` : to + query
}
