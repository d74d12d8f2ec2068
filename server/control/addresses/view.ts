import { scopeOf } from './address-text.ts'
import { interfaceAddresses, isOwn } from './local.ts'
import type { Address } from './schema.ts'
import type { AddressRow } from './store.ts'

/** What a machine has. */
export type Machine = { readonly interfaces: ReadonlySet<string> }

/** This machine, now. */
export function thisMachine(): Machine {
  return { interfaces: interfaceAddresses() }
}

const legacyTexts = { none: 'none', tls1_0: 'tls1.0', tls1_0_3des: 'tls1.0-3des' } as const

/** An address's row as the API shows it; what is the platform's business is null to tenants. */
export function addressView(row: AddressRow, machine: Machine, isPlatform: boolean): Address {
  const isLocal = localOf(row, machine)
  return {
    id: row.id,
    address: row.address,
    use: row.use,
    state: row.state,
    siteId: row.siteId,
    legacyTls: legacyTexts[row.legacyTls],
    scope: scopeOf(row.address),
    isLocal,
    hint: isPlatform ? hintOf(row, isLocal) : null,
    pool: isPlatform ? row.pool : null,
    note: isPlatform ? row.note : null,
    publicAddress: row.publicAddress,
    edgeId: isPlatform ? row.edgeId : null,
    createdAt: row.createdAt.toISOString(),
  }
}

/** An address that is for a certain edge may be another machine's: not having it says nothing. */
function localOf(row: AddressRow, machine: Machine): boolean | null {
  if (isOwn(row.address, machine.interfaces)) return true
  return row.edgeId === null ? false : null
}

function hintOf(row: AddressRow, isLocal: boolean | null): string | null {
  if (isLocal === null) return 'This is for another machine: make sure that its listener has this address.'
  if (!isLocal) {
    return `No interface of this machine has ${row.address}, so nobody reaches it here. Add it to one (ip address add ${row.address}/${row.address.includes(':') ? 128 : 32} dev …), or choose the edge that has it.`
  }
  return scopeOf(row.address) === 'loopback' ? 'Only programs on this machine itself reach this address.' : null
}
