import { X509Certificate } from 'node:crypto'
import { isAddressLiteral, normalizeName } from '../../contract/names.ts'
import { matchesPath } from '../../contract/site-options.ts'
import type { FieldProblem } from '../errors.ts'
import type { SiteOptionsChange } from './option-schema.ts'
import type { Site } from './schema.ts'

type Note = (field: string, detail: string) => void
type Given<K extends keyof SiteOptionsChange> = NonNullable<SiteOptionsChange[K]>

const MAX_ERROR_PAGE_BYTES = 64 * 1024
const MAX_FIELDS_OF_RULE = 20
const MAX_CA_CERTIFICATES = 20
/** What the preload list asks for: hstspreload.org, "Submission requirements". */
const PRELOAD_SECONDS = 31_536_000

/** Every problem of options that have the right shape, by field, for a site of this kind. Null values reset and are fine. */
export function optionProblems(kind: Site['kind'], options: SiteOptionsChange): FieldProblem[] {
  const problems: FieldProblem[] = []
  for (const key of Object.keys(options) as (keyof SiteOptionsChange)[]) {
    const value = options[key]
    if (value == null) continue
    const note: Note = (field, detail) =>
      void problems.push({ field: field === '' ? `options.${key}` : `options.${key}.${field}`, detail })
    const owner = kindOf[key]
    if (owner !== undefined && owner !== kind)
      note('', `belongs to a site of the kind "${owner}"; this one is "${kind}", so leave it out`)
    else checks[key]?.(value as never, note)
  }
  return problems
}

/** Options that mean something to one kind of site alone. */
const kindOf: { readonly [K in keyof SiteOptionsChange]?: Site['kind'] } = {
  trailingSlash: 'static',
  singlePage: 'static',
  cache: 'static',
  dotFiles: 'static',
  proxy: 'proxy',
}

const checks: { readonly [K in keyof SiteOptionsChange]?: (value: Given<K>, note: Note) => void } = {
  hsts: checkHsts,
  headers: checkHeaders,
  redirects: checkRedirects,
  basicAuth: checkBasicAuth,
  errorPages: checkErrorPages,
  singlePage: checkSinglePage,
  cache: checkCache,
  proxy: checkProxy,
}

function checkHsts({ maxAgeSeconds, includeSubDomains, preload }: Given<'hsts'>, note: Note): void {
  if (preload !== true) return
  if (includeSubDomains !== true) note('includeSubDomains', 'must be true for `preload`: browsers ask for it')
  if (maxAgeSeconds < PRELOAD_SECONDS)
    note('maxAgeSeconds', `must be a year (${PRELOAD_SECONDS}) or more for \`preload\``)
}

/** Fields of the connection (RFC 9110 section 7.6.1), of framing and of the coding of a body: those are ours. */
const ownFields = new Set([
  'connection',
  'content-encoding',
  'content-length',
  'content-range',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** A token (RFC 9110 section 5.6.2). */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,100}$/
/** Visible ASCII with spaces and tabs between (RFC 9110 section 5.5, without the obsolete part). */
const FIELD_VALUE = /^(?:[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?)?$/

function checkHeaders(rules: Given<'headers'>, note: Note): void {
  rules.forEach((rule, index) => {
    checkPattern(rule.path, (detail) => note(`${index}.path`, detail))
    const names = Object.keys(rule.set)
    if (names.length === 0 || names.length > MAX_FIELDS_OF_RULE)
      note(`${index}.set`, `must hold 1 to ${MAX_FIELDS_OF_RULE} fields`)
    const seen = new Set<string>()
    for (const name of names) {
      const detail = fieldProblem(name.toLowerCase(), rule.set[name] ?? null, seen)
      if (detail !== null) note(`${index}.set.${name.slice(0, 100)}`, detail)
      seen.add(name.toLowerCase())
    }
  })
}

function fieldProblem(name: string, value: string | null, seen: ReadonlySet<string>): string | null {
  if (!TOKEN.test(name)) return 'is no name of a field: letters, digits and -, at most 100'
  if (seen.has(name)) return 'stands there twice, in another spelling'
  if (ownFields.has(name)) return 'is set by the server itself, from how it sends the answer'
  if (value === null) return null
  if (name === 'strict-transport-security') return 'is set by the option `hsts`'
  return FIELD_VALUE.test(value) ? null : 'must be visible ASCII, without line breaks or spaces at its ends'
}

function checkPattern(pattern: string, note: (detail: string) => void): void {
  if (!pattern.startsWith('/')) note('must begin with /')
  else if (pattern.slice(0, -1).includes('*')) note('may have a * as its last character alone')
  else if (/[?#]/.test(pattern)) note('is compared without the query: leave ? and # out')
  else if (/%[0-9a-f]{2}/i.test(pattern)) note('is compared with the decoded path: write the characters themselves')
  else if (/\p{Cc}/u.test(pattern)) note('must not hold control characters')
}

function checkRedirects(rules: Given<'redirects'>, note: Note): void {
  rules.forEach(({ path, to }, index) => {
    checkPattern(path, (detail) => note(`${index}.path`, detail))
    const detail = targetProblem(path, to)
    if (detail !== null) note(`${index}.to`, detail)
  })
}

function targetProblem(path: string, to: string): string | null {
  if (!/^[\x21-\x7e]+$/.test(to)) return 'must be written in visible ASCII: percent-encode the rest'
  const hasStar = to.endsWith('*')
  if (to.slice(0, -1).includes('*')) return 'may have a * as its last character alone'
  if (hasStar && !path.endsWith('*')) return 'may end in * only where `path` does'
  return to.startsWith('/') ? targetPathProblem(path, to) : targetUrlProblem(to, hasStar)
}

function targetPathProblem(path: string, to: string): string | null {
  if (/^\/[/\\]/.test(to)) return 'leads to another host: write the whole URL'
  return matchesPath(path, to.replace(/[?#*].*$/, ''))
    ? 'is matched by the rule itself: it would lead in circles'
    : null
}

function targetUrlProblem(to: string, hasStar: boolean): string | null {
  const url = /^https?:\/\/[^/\\]/i.test(to) ? URL.parse(to) : null
  if (url === null) return 'is neither a path that begins with / nor a URL that begins with http:// or https://'
  if (url.username !== '' || url.password !== '') return 'must not hold a user or password'
  // Otherwise what the visitor asked for would become a part of the host.
  return hasStar && !/^https?:\/\/[^/?#\\]+\//i.test(to) ? 'must have a / between the host and the *' : null
}

function checkBasicAuth({ realm, paths, users }: Given<'basicAuth'>, note: Note): void {
  if (!/^[\x20-\x7e]+$/.test(realm) || /["\\]/.test(realm)) note('realm', 'must be ASCII without " and \\')
  paths.forEach((path, index) => {
    checkPattern(path, (detail) => note(`paths.${index}`, detail))
  })
  const seen = new Set<string>()
  users.forEach(({ name, password }, index) => {
    if (/[:\p{Cc}]/u.test(name)) note(`users.${index}.name`, 'must not hold a colon or control characters')
    if (seen.has(name)) note(`users.${index}.name`, 'stands there twice')
    if (password !== undefined && /\p{Cc}/u.test(password))
      note(`users.${index}.password`, 'must not hold control characters')
    seen.add(name)
  })
}

function checkErrorPages(pages: Given<'errorPages'>, note: Note): void {
  for (const [status, html] of Object.entries(pages))
    if (Buffer.byteLength(html) > MAX_ERROR_PAGE_BYTES) note(status, 'must have at most 64 KiB')
}

function checkSinglePage(path: string, note: Note): void {
  const isPlain = path.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
  if (!isPlain || /[\\\p{Cc}]/u.test(path))
    note('', 'must be the path of a file in the release, without a leading /, such as index.html')
}

function checkCache(rules: Given<'cache'>, note: Note): void {
  rules.forEach(({ path, cacheControl }, index) => {
    checkPattern(path, (detail) => note(`${index}.path`, detail))
    if (!FIELD_VALUE.test(cacheControl)) note(`${index}.cacheControl`, 'must be visible ASCII, such as max-age=3600')
  })
}

function checkProxy({ health, caPem, tlsServerName }: Given<'proxy'>, note: Note): void {
  if (health != null) {
    if (!/^\/[\x21-\x7e]*$/.test(health.path) || health.path.includes('#'))
      note('health.path', 'must begin with / and be visible ASCII')
    if (health.timeoutSeconds > health.intervalSeconds)
      note('health.timeoutSeconds', 'must not be longer than `intervalSeconds`')
  }
  if (caPem != null) {
    const detail = caProblem(caPem)
    if (detail !== null) note('caPem', detail)
  }
  if (tlsServerName != null && !isHostname(tlsServerName)) note('tlsServerName', 'is no host name')
}

/** Also names of one label: upstreams may have such. */
function isHostname(text: string): boolean {
  const result = normalizeName(text)
  return result.ok || (result.problem === 'single-label' && !isAddressLiteral(text))
}

const PEM_BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[^-]*-----END \1-----/g

function caProblem(pem: string): string | null {
  const blocks = [...pem.matchAll(PEM_BLOCK)]
  if (/PRIVATE KEY/.test(pem)) return 'holds a private key: give the certificate of the CA alone'
  if (blocks.length === 0) return 'holds no certificate in PEM form'
  if (blocks.length > MAX_CA_CERTIFICATES) return `holds more than ${MAX_CA_CERTIFICATES} certificates`
  for (const [text, label] of blocks) {
    if (label !== 'CERTIFICATE') return `holds ${label}, where only certificates belong`
    try {
      new X509Certificate(text)
    } catch {
      return 'holds a certificate that cannot be read'
    }
  }
  return null
}
