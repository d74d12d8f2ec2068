import { call, type Filter } from '#lib/api/client.ts'
import type { ListPage } from '#lib/api/listing.svelte.ts'
import type { Diagnosis, HostnameCreate, HostnameQuery, HostnameView } from '#server/control/domains/schema.ts'

export type { DiagnosisCheck, HostnameView, Instruction } from '#server/control/domains/schema.ts'

/** A page of hostnames. */
export function listHostnames(query: Filter<HostnameQuery>, signal?: AbortSignal): Promise<ListPage<HostnameView>> {
  return call('GET', '/hostnames', { query, signal })
}

/** One hostname. */
export function getHostname(id: string, signal?: AbortSignal): Promise<HostnameView> {
  return call('GET', `/hostnames/${id}`, { signal })
}

/** Claims a name for a site. */
export function createHostname(body: HostnameCreate): Promise<HostnameView> {
  return call('POST', '/hostnames', { body })
}

/** Points a hostname at another site. */
export function moveHostname(id: string, siteId: string): Promise<HostnameView> {
  return call('PATCH', `/hostnames/${id}`, { body: { siteId } })
}

/** Looks for the proof, and orders, now. */
export function checkHostname(id: string): Promise<HostnameView> {
  return call('POST', `/hostnames/${id}/check`)
}

/** What is right and wrong with a hostname. */
export function diagnoseHostname(id: string): Promise<Diagnosis> {
  return call('GET', `/hostnames/${id}/diagnosis`)
}

/** Ends a hostname: it is no longer served. */
export function deleteHostname(id: string): Promise<void> {
  return call('DELETE', `/hostnames/${id}`)
}
