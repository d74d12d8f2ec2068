import { call, urlOf } from '#lib/api/client.ts'
import type { ListPage } from '#lib/api/listing.svelte.ts'
import type { IssuerCreateInput, IssuerPatchInput, IssuerView } from '#server/control/certificates/schema.ts'

export type { IssuerCreateInput, IssuerView } from '#server/control/certificates/schema.ts'

/** The issuers. */
export function listIssuers(cursor?: string, signal?: AbortSignal): Promise<ListPage<IssuerView>> {
  return call('GET', '/issuers', { query: { cursor }, signal })
}

/** Adds an ACME directory. */
export function createIssuer(body: IssuerCreateInput): Promise<IssuerView> {
  return call('POST', '/issuers', { body })
}

/** Switches an issuer on or off, or agrees to its terms. */
export function changeIssuer(id: string, body: IssuerPatchInput): Promise<IssuerView> {
  return call('PATCH', `/issuers/${id}`, { body })
}

/** Removes an issuer that nothing uses. */
export function deleteIssuer(id: string): Promise<void> {
  return call('DELETE', `/issuers/${id}`)
}

/** Where the root of the local CA is to be had, without signing in. */
export function rootUrl(id: string): string {
  return urlOf(`/issuers/${id}/root.pem`)
}
