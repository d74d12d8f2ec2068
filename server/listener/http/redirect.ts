import type { SiteRecord } from '../../contract/records.ts'
import { sendErrorPage } from './error-pages.ts'
import { type Exchange, send } from './exchange.ts'
import { nameRecord } from './host-rules.ts'
import type { RecordCache } from './record-cache.ts'
import type { Target } from './target.ts'

/** Where a redirect site sends a request: path and query are appended when its target ends in `/`. */
export function redirectLocation(redirectTo: string, target: Target): string {
  return redirectTo.endsWith('/') ? redirectTo + target.path.slice(1) + target.query : redirectTo
}

/** Answers for a redirect site. */
export function redirectSite(exchange: Exchange, site: SiteRecord, target: Target): void {
  sendRedirect(exchange, site.redirectStatus ?? 308, redirectLocation(site.redirectTo ?? '/', target))
}

/**
 * Answers on the plain port: the same host, path and query over https, for names that have a
 * certificate; 404 for all others. The host is one of ours and in normal form, so it leads nowhere else.
 */
export function redirectToHttps(
  exchange: Exchange,
  records: RecordCache,
  host: string,
  target: Target,
  httpsPort: number,
): void {
  const record = nameRecord(records, host)
  if (record === null || record.certificates.length === 0) return void sendErrorPage(exchange, 404)
  const isRead = exchange.method === 'GET' || exchange.method === 'HEAD'
  const port = httpsPort === 443 ? '' : `:${httpsPort}`
  // 308 keeps the method (RFC 9110 section 15.4.9); 301 is what the oldest clients understand.
  sendRedirect(exchange, isRead ? 301 : 308, `https://${host}${port}${target.path}${target.query}`)
}

/** A redirect without a body. */
export function sendRedirect(exchange: Exchange, status: number, location: string): void {
  send(exchange, status, [['location', location]], Buffer.alloc(0))
}
