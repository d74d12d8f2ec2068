import { call, type Filter } from '#lib/api/client.ts'
import type { ListPage } from '#lib/api/listing.svelte.ts'
import type { Address, AddressListFilter, AllocationInput, NewAddressInput } from '#server/control/addresses/schema.ts'

export type { Address, NewAddressInput } from '#server/control/addresses/schema.ts'

/** A page of addresses. */
export function listAddresses(query: Filter<AddressListFilter>, signal?: AbortSignal): Promise<ListPage<Address>> {
  return call('GET', '/addresses', { query, signal })
}

/** Adds one address, or all of a CIDR block or range. */
export function addAddresses(body: NewAddressInput): Promise<unknown> {
  return call('POST', '/addresses', { body })
}

/** Gives a dedicated address to a site. */
export function allocateAddress(id: string, body: AllocationInput): Promise<Address> {
  return call('POST', `/addresses/${id}/allocate`, { body })
}

/** Takes an address back from its site. */
export function releaseAddress(id: string): Promise<Address> {
  return call('POST', `/addresses/${id}/deallocate`)
}

/** Forgets an address that is not allocated. */
export function deleteAddress(id: string): Promise<void> {
  return call('DELETE', `/addresses/${id}`)
}
