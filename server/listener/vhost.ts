import { isAddressLiteral, isPlainName, wildcardOf } from '../contract/names.ts'
import type { NameRecord } from '../contract/records.ts'
import type { EdgeReader } from './edge-store.ts'

/** Who answers a connection, and with which certificates (fingerprints, best first, at least one). */
export type Vhost = {
  readonly siteId: string
  readonly certificates: readonly string[]
  /** Normalised; null when the client sent none. */
  readonly serverName: string | null
}

/**
 * Finds the vhost of a ClientHello, or null when the connection is to be refused with
 * `unrecognized_name`, with nobody's certificate.
 *
 * 1. A server name counts in one form: lower case, without one trailing dot. An address literal is
 *    no name (RFC 6066 section 3) and counts as none; what is no host name at all is refused.
 * 2. The `name` record of exactly that name.
 * 3. Without one: the `name` record of the wildcard one label up (RFC 6125 section 6.4.3).
 * 4. The record found has no certificate: refused. So an exact name that waits for its certificate
 *    hides the wildcard above it, which belongs to another site perhaps.
 * 5. Neither found: refused, on a dedicated address too.
 * 6. No server name: the `address` record of the address that was dialled, if it has a site and
 *    certificates. A shared address has none: refused.
 *
 * `localAddress` is asked for only in step 6: reading it costs a system call.
 */
export function findVhost(
  reader: Pick<EdgeReader, 'get'>,
  rawName: string | null,
  localAddress: () => string,
): Vhost | null {
  const serverName = rawName === null ? null : servedForm(rawName)
  if (serverName === undefined) return null
  if (serverName !== null) return byName(reader, serverName)
  const address = reader.get('address', localAddress())
  if (address === null || address.siteId === null || address.certificates.length === 0) return null
  return { siteId: address.siteId, certificates: address.certificates, serverName: null }
}

/** The record that serves a normalised name: its own, else that of the wildcard one label up. */
export function findName(reader: Pick<EdgeReader, 'get'>, name: string): NameRecord | null {
  const wildcard = wildcardOf(name)
  return reader.get('name', name) ?? (wildcard === null ? null : reader.get('name', wildcard))
}

function byName(reader: Pick<EdgeReader, 'get'>, serverName: string): Vhost | null {
  const record = findName(reader, serverName)
  if (record === null || record.certificates.length === 0) return null
  return { siteId: record.siteId, certificates: record.certificates, serverName }
}

/** The form in which a server name counts. Null: it counts as no name. Undefined: it can be nobody's name. */
export function servedForm(rawName: string): string | null | undefined {
  const lower = rawName.toLowerCase()
  const name = lower.endsWith('.') ? lower.slice(0, -1) : lower
  if (isAddressLiteral(name)) return null
  return isPlainName(name) ? name : undefined
}
