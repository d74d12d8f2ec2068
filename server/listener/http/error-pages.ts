import { STATUS_CODES } from 'node:http'
import type { ErrorPageStatus, SiteOptions } from '../../contract/site-options.ts'
import { type Exchange, type Fields, send } from './exchange.ts'

/** The statuses that we answer ourselves: a title, and what a visitor can do. Neutral: no site, no server. */
const pages = {
  400: ['Bad request', 'The request could not be understood.'],
  401: ['Log in', 'This page is only for those who have a name and password for it.'],
  403: ['Forbidden', 'This page may not be seen.'],
  404: ['Not found', 'There is nothing at this address.'],
  405: ['Method not allowed', 'This page can only be read.'],
  413: ['Too large', 'What was sent is larger than this site accepts.'],
  416: ['Range not satisfiable', 'The requested part is outside this file.'],
  412: ['Precondition failed', 'The page has changed since it was last read.'],
  421: ['Misdirected request', 'This connection is for another site. Please reload the page.'],
  429: ['Too many tries', 'Please wait a minute and try again.'],
  431: ['Request too large', 'The request header is too large. Deleting the cookies of this site may help.'],
  500: ['Something went wrong', 'Please try again in a moment.'],
  501: ['Not implemented', 'This method is not supported.'],
  502: [
    'Bad gateway',
    'The server behind this site cannot be reached or gave no valid answer. Please try again later.',
  ],
  503: ['Unavailable', 'This site is unavailable at the moment.'],
  504: ['Gateway timeout', 'The server behind this site took too long to answer. Please try again later.'],
  508: ['Loop detected', 'The server behind this site leads back to this site.'],
} as const

/** A status of `sendErrorPage`. */
export type ErrorStatus = keyof typeof pages

const prepared = new Map<string, Buffer>()

/** Answers with a small page of our own, which nobody stores. An HTTP/1.1 connection ends after 400, 421, 431 and 501. */
export function sendErrorPage(exchange: Exchange, status: ErrorStatus, fields: Fields = []): void {
  const [title, text] = pages[status]
  const close = status === 400 || status === 421 || status === 431 || status === 501
  send(exchange, status, [...fields, ...pageFields], page(title, text), { close })
}

/** Answers with the site's own page for this status, or with ours. */
export function sendSitePage(
  exchange: Exchange,
  status: ErrorPageStatus,
  own: SiteOptions['errorPages'],
  fields: Fields = [],
): void {
  const html = own[status]
  if (html === undefined) sendErrorPage(exchange, status, fields)
  else send(exchange, status, [...fields, ...pageFields], Buffer.from(html))
}

/** The same as a whole HTTP/1.1 answer, for a connection whose bytes we write ourselves. */
export function sitePageBytes(
  status: ErrorPageStatus,
  own: SiteOptions['errorPages'],
  options: { readonly isHead: boolean; readonly close: boolean },
): Buffer {
  const html = own[status]
  const [title, text] = pages[status]
  const body = html === undefined ? page(title, text) : Buffer.from(html)
  const fields: Fields = [
    ...pageFields,
    ['content-length', String(body.length)],
    ...(options.close ? ([['connection', 'close']] as const) : []),
  ]
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  const head = Buffer.from(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines}\r\n`, 'latin1')
  return options.isHead ? head : Buffer.concat([head, body])
}

/** Answers for a site that has no release yet. */
export function sendEmptySite(exchange: Exchange): void {
  send(exchange, 404, pageFields, page('Nothing here yet', 'This site has no content so far.'))
}

const pageFields: Fields = [
  ['content-type', 'text/html; charset=utf-8'],
  ['cache-control', 'no-store'],
  ['x-content-type-options', 'nosniff'],
]

function page(title: string, text: string): Buffer {
  const known = prepared.get(title)
  if (known !== undefined) return known
  const html = `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${title}</title>
<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:20vh auto 0;padding:0 1.5rem;color-scheme:light dark}</style>
<h1>${title}</h1>
<p>${text}</p>
</html>
`
  const bytes = Buffer.from(html)
  prepared.set(title, bytes)
  return bytes
}
