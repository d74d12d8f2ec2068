import { type Actor, actorName, requireAdmin, requireTenant, visibleTenants } from '../auth/access.ts'
import { type Db, isForeignKeyViolation, isUniqueViolation, type Tx, write } from '../db.ts'
import { AppError, notFound } from '../errors.ts'
import { recordEvent } from '../events/record.ts'
import { type Paged, paged, type WriteOptions } from '../schema.ts'
import { checkChange, newAddresses } from './address-rules.ts'
import { canonicalAddress } from './address-text.ts'
import type { Address, AddressChangeInput, AddressListFilter, AllocationInput, NewAddressInput } from './schema.ts'
import {
  type AddressRow,
  countServedSites,
  deleteAddress,
  findAddress,
  findSiteForAddress,
  findTexts,
  freeAddress,
  insertAddresses,
  listAddresses,
  lockAddress,
  takeAddress,
  updateAddress,
} from './store.ts'
import { addressView, type Machine } from './view.ts'

/** What the addresses service needs. */
export type AddressServiceDeps = {
  readonly db: Db
  /** What this machine has; asked at each answer, since interfaces come and go. */
  readonly machine: () => Machine
}

/**
 * Addresses: the IPs that the edges answer on. Platform admins change them, support reads them, and a
 * tenant reads those of its own sites. All methods throw `AppError` and check access first.
 */
export type AddressService = ReturnType<typeof createAddressService>

/** Makes the service. */
export function createAddressService({ db, machine }: AddressServiceDeps) {
  const view = (actor: Actor, row: AddressRow): Address => addressView(row, machine(), isPlatform(actor))
  return {
    async list(actor: Actor, filter: AddressListFilter): Promise<Paged<Address>> {
      const tenants = visibleTenants(actor)
      const here = machine()
      const rows = await listAddresses(db, tenants, filter)
      return paged(rows, filter, (row) => addressView(row, here, isPlatform(actor)))
    },

    async get(actor: Actor, id: string): Promise<Address> {
      return view(actor, await readable(db, actor, id))
    },

    /** One address, or all of a CIDR or range: all or nothing. */
    async create(actor: Actor, input: NewAddressInput, options: WriteOptions): Promise<Address | { items: Address[] }> {
      requireAdmin(actor)
      const addresses = newAddresses(input)
      const fields = {
        use: input.use,
        pool: input.pool ?? null,
        note: input.note ?? null,
        publicAddress: nullableAddress(input.publicAddress ?? null),
        edgeId: input.edgeId ?? null,
      }
      return write(db, options, async (tx) => {
        await refuseKnown(tx, addresses)
        const rows = await insertAddresses(tx, addresses, fields).catch(explain)
        const [first, last] = [rows[0], rows.at(-1)]
        if (first === undefined || last === undefined) throw new AppError('INVALID_INPUT', 'There is no address in it.')
        const name = rows.length === 1 ? first.address : `${first.address}-${last.address}`
        await addressEvent(tx, actor, { ...first, address: name }, 'address.created', { count: rows.length })
        const items = rows.map((row) => view(actor, row))
        return input.address === undefined ? { items } : view(actor, first)
      })
    },

    async change(actor: Actor, id: string, input: AddressChangeInput, options: WriteOptions): Promise<Address> {
      requireAdmin(actor)
      return write(db, options, async (tx) => {
        const row = present(await lockAddress(tx, id))
        checkChange(row, input, input.use === 'dedicated' ? await countServedSites(tx) : 0)
        const { force: _, publicAddress, ...rest } = input
        const shown = publicAddress === undefined ? {} : { publicAddress: nullableAddress(publicAddress) }
        const changed = await updateAddress(tx, id, { ...rest, ...shown }).catch(explain)
        await addressEvent(tx, actor, changed, 'address.changed', { fields: Object.keys(input) })
        return view(actor, changed)
      })
    },

    async remove(actor: Actor, id: string, options: WriteOptions): Promise<void> {
      requireAdmin(actor)
      await write(db, options, async (tx) => {
        const row = present(await lockAddress(tx, id))
        if (row.siteId !== null) {
          const site = row.site?.name ?? 'a site'
          throw new AppError('IN_USE', `${row.address} is allocated to "${site}". Deallocate it first, then delete it.`)
        }
        await deleteAddress(tx, id)
        await addressEvent(tx, actor, row, 'address.deleted', {})
      })
    },

    /** Gives a free dedicated address to a site. Of two at once, one gets ADDRESS_NOT_FREE. */
    async allocate(actor: Actor, id: string, input: AllocationInput, options: WriteOptions): Promise<Address> {
      requireAdmin(actor)
      return write(db, options, async (tx) => {
        const row = present(await findAddress(tx, id))
        const site = await findSiteForAddress(tx, input.siteId)
        if (site === null) throw notFound('site')
        if (!(await takeAddress(tx, id, site.id, input.legacyTls ?? 'none')))
          throw notFree((await findAddress(tx, id)) ?? row)
        const taken = present(await findAddress(tx, id))
        await addressEvent(tx, actor, taken, 'address.allocated', {
          siteId: site.id,
          siteName: site.name,
          legacyTls: input.legacyTls ?? 'none',
        })
        return view(actor, taken)
      })
    },

    /** Takes an address from its site; it is free at once. */
    async deallocate(actor: Actor, id: string, options: WriteOptions): Promise<Address> {
      requireAdmin(actor)
      return write(db, options, async (tx) => {
        const row = present(await lockAddress(tx, id))
        if (!(await freeAddress(tx, id))) {
          throw new AppError('CONFLICT', `${row.address} is not allocated to any site.`)
        }
        await addressEvent(tx, actor, row, 'address.deallocated', { siteId: row.siteId ?? '' })
        return view(actor, present(await findAddress(tx, id)))
      })
    },
  }
}

function isPlatform(actor: Actor): boolean {
  return visibleTenants(actor) === 'all'
}

/** The platform's people read all; a tenant's, those of its own sites. */
async function readable(db: Db, actor: Actor, id: string): Promise<AddressRow> {
  visibleTenants(actor)
  const row = await findAddress(db, id)
  if (row === null) throw notFound('address')
  if (row.site !== null) requireTenant(actor, row.site.tenantId, 'viewer', 'address')
  else if (visibleTenants(actor) !== 'all') throw notFound('address')
  return row
}

async function refuseKnown(tx: Tx, addresses: readonly string[]): Promise<void> {
  const [known, ...others] = await findTexts(tx, addresses)
  if (known === undefined) return
  const more = others.length === 0 ? '' : ` and ${others.length} more`
  throw new AppError('CONFLICT', `${known}${more}: added already. Nothing was changed.`)
}

function explain(error: unknown): never {
  if (isUniqueViolation(error)) {
    throw new AppError('CONFLICT', 'One of these addresses was added just now. Nothing was changed.', { cause: error })
  }
  if (!isForeignKeyViolation(error)) throw error
  throw new AppError('INVALID_INPUT', 'edgeId: there is no such edge.', {
    errors: [{ field: 'edgeId', detail: 'is not the id of an edge' }],
    cause: error,
  })
}

function notFree(row: AddressRow): AppError {
  const { address, use, state } = row
  if (use === 'shared') {
    const detail = `${address} is shared by all sites; only a dedicated address can be given to one.`
    return new AppError('ADDRESS_NOT_FREE', detail)
  }
  const what = row.site === null ? state : `allocated to "${row.site.name}"`
  return new AppError('ADDRESS_NOT_FREE', `${address} is ${what}. Choose another address, or free it first.`)
}

function present(row: AddressRow | null): AddressRow {
  if (row === null) throw notFound('address')
  return row
}

function nullableAddress(text: string | null): string | null {
  return text === null ? null : canonicalAddress(text, 'publicAddress')
}

async function addressEvent(
  tx: Tx,
  actor: Actor,
  row: AddressRow,
  action: string,
  detail: Readonly<Record<string, string | number | string[]>>,
): Promise<void> {
  await recordEvent(tx, {
    actor: actorName(actor),
    tenantId: row.site?.tenantId ?? null,
    action,
    subjectId: row.id,
    subjectName: row.address,
    detail: { ...detail },
  })
}
