import type { IncomingHttpHeaders } from 'node:http'

/** What identifies a representation: a strong entity tag with its quotes, and its time in whole seconds. */
export type Validators = { readonly etag: string; readonly lastModified: string }

/**
 * The status that the preconditions of a GET or HEAD demand, or null to go on (RFC 9110 section
 * 13.2.2). Dates count only when they equal ours: after a roll-back the older release is the newer
 * answer, and "not modified since" would keep visitors on the one that was withdrawn.
 */
export function preconditionStatus(headers: IncomingHttpHeaders, validators: Validators): 304 | 412 | null {
  const ifMatch = headers['if-match']
  if (ifMatch !== undefined) {
    if (!matches(ifMatch, validators.etag, false)) return 412
  } else if (isOlder(headers['if-unmodified-since'], validators.lastModified)) return 412
  const ifNoneMatch = headers['if-none-match']
  if (ifNoneMatch !== undefined) return matches(ifNoneMatch, validators.etag, true) ? 304 : null
  return headers['if-modified-since'] === validators.lastModified ? 304 : null
}

/** Whether a Range applies: no If-Range, or one that names this very representation (RFC 9110 section 13.1.5). */
export function rangeApplies(headers: IncomingHttpHeaders, validators: Validators): boolean {
  const condition = headers['if-range']
  if (condition === undefined) return true
  return condition === validators.etag || condition === validators.lastModified
}

function isOlder(date: string | undefined, lastModified: string): boolean {
  const limit = date === undefined ? Number.NaN : Date.parse(date)
  return Date.parse(lastModified) > limit
}

function matches(list: string, etag: string, isWeakAllowed: boolean): boolean {
  if (list.trim() === '*') return true
  return list.split(',').some((item) => {
    const tag = item.trim()
    return tag === etag || (isWeakAllowed && tag === `W/${etag}`)
  })
}
