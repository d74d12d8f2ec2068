import type { SiteRecord } from '../../contract/records.ts'
import type { BasicAuth, SiteOptions } from '../../contract/site-options.ts'
import type { BasicAuthGate } from './basic-auth.ts'
import { answerChallenge } from './challenge.ts'
import { type ErrorStatus, sendErrorPage, sendSitePage } from './error-pages.ts'
import type { Exchange } from './exchange.ts'
import { nameRecord, requestHost, siteOfHost } from './host-rules.ts'
import { MAX_HEADER_FIELDS } from './limits.ts'
import { isProtected } from './protected-paths.ts'
import { type ProxyDeps, serveProxy } from './proxy.ts'
import type { RecordCache } from './record-cache.ts'
import { redirectSite, redirectToHttps, sendRedirect } from './redirect.ts'
import type { RefusalReason } from './request-log.ts'
import { fieldRules, optionsOf, redirectOf, withRules } from './site-rules.ts'
import { type StaticStore, serveStatic } from './static.ts'
import { decodePath, parseTarget, type Target } from './target.ts'

/** What answering needs. */
export type DispatchDeps = ProxyDeps & {
  readonly records: RecordCache
  readonly store: StaticStore
  readonly basicAuth: BasicAuthGate
  readonly httpsPort: number
  /** Called for failures of ours, for the log. */
  readonly report: (error: unknown) => void
}

/** A request head after the checks that hold for every site. */
type Head = { readonly host: string; readonly authority: string; readonly target: Target; readonly path: string }

/**
 * Answers one request, in this order:
 * 1. its head must name one host and a readable path, else 400;
 * 2. the paths that are ours (ACME challenges) are answered on any connection, for suspended sites too;
 * 3. on the plain port: redirect to https;
 * 4. the host must belong to the site of the connection, else 421 or 404;
 * 5. a suspended site is 503;
 * 6. the site's own rules: redirects, then who may enter;
 * 7. the site answers by its kind. Its header rules hold for 6 and 7.
 */
export async function dispatch(exchange: Exchange, deps: DispatchDeps): Promise<void> {
  try {
    const head = readHead(exchange)
    if (typeof head === 'number') return refuse(exchange, head, 'bad-head')
    if (answerChallenge(exchange, deps.records, head.host, head.path)) return
    if (!exchange.connection.isSecure) {
      exchange.attribute(nameRecord(deps.records, head.host)?.siteId ?? null)
      return redirectToHttps(exchange, deps.records, head.host, head.target, deps.httpsPort)
    }
    const answer = siteOfHost(deps.records, exchange.connection, head.host)
    if ('status' in answer) return refuse(exchange, answer.status, misdirection(exchange, answer.status))
    exchange.attribute(answer.siteId)
    const site = deps.records.get('site', answer.siteId)
    if (site === null || site.state === 'suspended') return refuse(exchange, 503, 'suspended', answer.siteId)
    return await serve(exchange, deps, answer.siteId, site, head)
  } catch (error) {
    deps.report(error)
    giveUp(exchange)
  }
}

function refuse(exchange: Exchange, status: ErrorStatus, reason: RefusalReason, siteId: string | null = null): void {
  exchange.attribute(siteId, reason)
  sendErrorPage(exchange, status)
}

function misdirection({ connection }: Exchange, status: 404 | 421): RefusalReason {
  if (status === 404) return 'unknown-host'
  return connection.serverName === null ? 'no-server-name' : 'other-site'
}

function giveUp(exchange: Exchange): void {
  try {
    if (exchange.isAnswered) exchange.abort()
    else sendErrorPage(exchange, 500)
  } catch {
    exchange.abort()
  }
}

async function serve(outer: Exchange, deps: DispatchDeps, siteId: string, site: SiteRecord, head: Head): Promise<void> {
  const options = optionsOf(site)
  const exchange = withRules(outer, fieldRules(options, head.path, outer.connection.isSecure))
  try {
    const redirect = redirectOf(options, head.path, head.target)
    if (redirect !== null) return sendRedirect(exchange, redirect.status, redirect.to)
    // A site that asks nobody answers in the same turn: what is wrong behind a refused head must not end the
    // connection before the refusal is on its way.
    const { basicAuth } = options
    const isAsked = basicAuth !== null && isProtected(basicAuth.paths, head.path)
    if (isAsked && !(await mayEnter(exchange, deps.basicAuth, siteId, basicAuth, options.errorPages))) return
    if (site.kind === 'static') return await serveStatic(exchange, deps.store, site, head.target, head.path)
    if (site.kind === 'redirect') return redirectSite(exchange, site, head.target)
    serveProxy(exchange, deps, siteId, site, head)
  } catch (error) {
    if (exchange.isAnswered) throw error
    deps.report(error)
    sendSitePage(exchange, 500, options.errorPages)
  }
}

/** Whether the visitor has a name and password; otherwise it was answered. */
async function mayEnter(
  exchange: Exchange,
  gate: BasicAuthGate,
  siteId: string,
  basicAuth: BasicAuth,
  errorPages: SiteOptions['errorPages'],
): Promise<boolean> {
  const asker = { siteId, remoteAddress: exchange.connection.remoteAddress }
  const verdict = await gate.check(basicAuth, exchange.headers.authorization, asker)
  if (verdict === 'admitted') return true
  if (verdict === 'busy') sendErrorPage(exchange, 503, [['retry-after', '5']])
  else if (verdict === 'throttled') sendErrorPage(exchange, 429, [['retry-after', '60']])
  else sendSitePage(exchange, 401, errorPages, [['www-authenticate', challengeOf(basicAuth.realm)]])
  return false
}

function challengeOf(realm: string): string {
  return `Basic realm="${realm.replace(/["\\]/g, '\\$&')}", charset="UTF-8"`
}

/** Methods are case-sensitive, and ours are all in capitals; TRACE and CONNECT are for no site. */
const METHOD = /^(?!TRACE$|CONNECT$)[A-Z-]+$/

function readHead(exchange: Exchange): Head | 400 | 431 | 501 {
  if (exchange.rawHeaders.length > MAX_HEADER_FIELDS * 2) return 431
  if (!METHOD.test(exchange.method)) return 501
  const target = parseTarget(exchange.target)
  const path = target === null ? null : decodePath(target.path)
  if (target === null || path === null) return 400
  const hosts = hostFields(exchange.rawHeaders)
  const authorities = [exchange.authority, target.authority].filter((one) => one !== null)
  if (authorities.length > 1 && authorities[0]?.toLowerCase() !== authorities[1]?.toLowerCase()) return 400
  const host = requestHost(hosts, authorities[0] ?? null)
  const authority = hosts[0] ?? authorities[0]
  return host === null || authority === undefined ? 400 : { host, authority, target, path }
}

function hostFields(rawHeaders: readonly string[]): string[] {
  return rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === 'host')
}
