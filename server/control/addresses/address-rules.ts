import { AppError } from '../errors.ts'
import { addressesOfCidr, addressesOfRange, canonicalAddress } from './address-text.ts'
import type { AddressChangeInput, NewAddressInput } from './schema.ts'
import type { AddressRow } from './store.ts'

/** The addresses that a create means, in canonical text. Throws ADDRESS_INVALID and INVALID_INPUT. */
export function newAddresses({ address, cidr, range }: NewAddressInput): string[] {
  const given = [address, cidr, range].filter((value) => value !== undefined)
  if (given.length !== 1) {
    throw new AppError('INVALID_INPUT', 'Give exactly one of address, cidr and range.', {
      errors: [{ field: 'address', detail: 'exactly one of address, cidr and range is required' }],
    })
  }
  if (cidr !== undefined) return addressesOfCidr(cidr)
  return range === undefined ? [canonicalAddress(address ?? '', 'address')] : addressesOfRange(range)
}

/**
 * Whether a change fits an address now. `servedSites`: how many sites visitors reach by name, and so
 * through each shared address. Throws IN_USE and CONFLICT.
 */
export function checkChange(row: AddressRow, change: AddressChangeInput, servedSites: number): void {
  const isAllocated = row.siteId !== null
  if (change.state !== undefined && change.state !== row.state && isAllocated) {
    throw new AppError('IN_USE', `${row.address} is allocated to a site. Deallocate it first.`)
  }
  if (change.use === undefined || change.use === row.use) return
  if (isAllocated) {
    throw new AppError('IN_USE', `${row.address} is allocated to a site. Deallocate it first, then share it.`)
  }
  if (change.use === 'dedicated' && servedSites > 0 && change.force !== true) {
    const sites = servedSites === 1 ? 'One site is' : `${servedSites} sites are`
    throw new AppError(
      'IN_USE',
      `${sites} served on the shared address ${row.address}, and tenants' DNS may point at it. Add another shared address and move their DNS first, or say "force": true.`,
    )
  }
}
