import { isIP } from 'node:net'
import { hostOf, isAddressLiteral, wildcardOf } from '../../contract/names.ts'
import type { NameRecord } from '../../contract/records.ts'
import type { Connection } from './connection.ts'
import type { RecordCache } from './record-cache.ts'

/** Whom a request is for, or the status that refuses it. */
export type HostAnswer = { readonly siteId: string } | { readonly status: 404 | 421 }

/**
 * The one host that a request names, normalised, or null (answer 400). Exactly one Host field
 * (RFC 9112 section 3.2); the authority of an absolute-form target or of HTTP/2 must say the same.
 */
export function requestHost(hostFields: readonly string[], authority: string | null): string | null {
  if (hostFields.length > 1) return null
  const field = hostFields[0]
  if (field === undefined && authority === null) return null
  if (field !== undefined && authority !== null && field.toLowerCase() !== authority.toLowerCase()) return null
  return hostOf(field ?? authority ?? '')
}

/** The record that serves `host`: exact, then one wildcard label. An exact one hides the wildcard. */
export function nameRecord(records: RecordCache, host: string): NameRecord | null {
  const exact = records.get('name', host)
  if (exact !== null) return exact
  const wildcard = wildcardOf(host)
  return wildcard === null ? null : records.get('name', wildcard)
}

/**
 * Whether `host` belongs to the site of a secure connection. 421 says "we serve it, but not on this
 * connection" (RFC 9110 section 15.5.20), which makes a browser that coalesced connections open
 * another; for a host that nobody has here it would only loop, so that is 404.
 */
export function siteOfHost(records: RecordCache, connection: Connection, host: string): HostAnswer {
  const siteId = isAddressLiteral(host)
    ? siteOfAddress(records, connection, host)
    : (nameRecord(records, host)?.siteId ?? null)
  if (siteId === null) return { status: 404 }
  return siteId === connection.siteId ? { siteId } : { status: 421 }
}

/** An address is a host only for those who dialled it and said no name. */
function siteOfAddress(records: RecordCache, connection: Connection, host: string): string | null {
  const dialled = canonicalAddress(host)
  if (connection.serverName === null && dialled === canonicalAddress(connection.localAddress)) return connection.siteId
  return records.get('address', dialled)?.siteId ?? null
}

/** The canonical text of an address: RFC 5952 for IPv6, where one address has many spellings. */
function canonicalAddress(address: string): string {
  return isIP(address) === 6 ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address
}
