import type { Reach } from '../../contract/reach.ts'
import { type Actor, actorName, requireAdmin, requireTenant, tenantOfCreate, visibleTenants } from '../auth/access.ts'
import { type Db, isForeignKeyViolation, isUniqueViolation, type Tx, write } from '../db.ts'
import { AppError, notFound } from '../errors.ts'
import { recordEvent } from '../events/record.ts'
import { type Paged, paged, type WriteOptions } from '../schema.ts'
import { planLimits } from '../tenants/limits.ts'
import { changedOptions, checkOptions } from './options.ts'
import type { ListedSite, NewSiteInput, Site, SiteChangeInput, SiteListFilter } from './schema.ts'
import { siteContent } from './site-rules.ts'
import {
  countSites,
  countSiteUses,
  deleteSite,
  findPanelSite,
  findSite,
  insertSite,
  listSites,
  lockSite,
  type SiteRow,
  updateSite,
} from './store.ts'
import { contentOf, listedSite, optionsOf, siteView } from './views.ts'

/** What the sites service needs. */
export type SiteServiceDeps = {
  readonly db: Db
  /** Judges upstreams that are literal addresses. */
  readonly reach: Reach
}

/** Sites: what is served. All methods throw `AppError` and check access first. */
export type SiteService = ReturnType<typeof createSiteService>

/** Makes the service. */
export function createSiteService({ db, reach }: SiteServiceDeps) {
  return {
    async list(actor: Actor, filter: SiteListFilter): Promise<Paged<ListedSite>> {
      const tenants = visibleTenants(actor)
      return paged(await listSites(db, tenants, filter), filter, listedSite)
    },

    async get(actor: Actor, id: string): Promise<Site> {
      return siteView(await accessible(db, actor, id, 'viewer'))
    },

    async create(actor: Actor, input: NewSiteInput, options: WriteOptions): Promise<Site> {
      const tenantId = tenantOfCreate(actor, input.tenantId)
      requireTenant(actor, tenantId, 'member')
      const name = siteName(input.name)
      const content = siteContent(input.kind, input, reach)
      const set = changedOptions({}, await checkOptions(input.kind, input.options ?? {}))
      return write(db, options, async (tx) => {
        await checkPlace(tx, tenantId)
        const row = await insertSite(tx, { tenantId, name, kind: input.kind, options: set, ...content }).catch(
          explain(name),
        )
        await siteEvent(tx, actor, row, 'site.created', { kind: row.kind })
        return siteView(row)
      })
    },

    async change(actor: Actor, id: string, input: SiteChangeInput, options: WriteOptions): Promise<Site> {
      const seen = await accessible(db, actor, id, 'member')
      if (input.state !== undefined) requireAdmin(actor)
      const checked = input.options === undefined ? undefined : await checkOptions(seen.kind, input.options)
      return write(db, options, async (tx) => {
        const row = changeable(await lockSite(tx, seen.id))
        const { state, name } = input
        const change = {
          ...(state === undefined ? {} : { state }),
          ...(name === undefined ? {} : { name: siteName(name) }),
          content: siteContent(row.kind, input, reach, contentOf(row)),
          ...(checked === undefined ? {} : { options: changedOptions(optionsOf(row), checked) }),
        }
        const changed = await updateSite(tx, id, change).catch(explain(change.name ?? row.name))
        await siteEvent(tx, actor, changed, 'site.changed', { fields: changedFields(input) })
        return siteView(changed)
      })
    },

    async remove(actor: Actor, id: string, options: WriteOptions): Promise<void> {
      await accessible(db, actor, id, 'member')
      await write(db, options, async (tx) => {
        const row = changeable(await lockSite(tx, id))
        await refuseUsed(tx, row)
        await deleteSite(tx, id).catch((error: unknown) => {
          throw isForeignKeyViolation(error) ? inUse('Something points at this site since just now.') : error
        })
        await siteEvent(tx, actor, row, 'site.deleted', {})
      })
    },
  }
}

/**
 * Makes the panel a site of the listener, or brings that site up to date, in the caller's transaction.
 * `upstream` is where the control plane listens. Only for the start of the control plane. Returns the id.
 */
export async function ensurePanelSite(tx: Tx, panel: { tenantId: string; upstream: string }): Promise<string> {
  const content = { upstreams: [{ url: panel.upstream, weight: 1 }], redirectTo: null, redirectStatus: null }
  const current = await findPanelSite(tx)
  if (current === null) {
    const { id } = await insertSite(tx, {
      tenantId: panel.tenantId,
      name: 'Nameplate panel',
      kind: 'proxy',
      isPanel: true,
      ...content,
    })
    return id
  }
  if (contentOf(current).upstreams?.[0]?.url !== panel.upstream) await updateSite(tx, current.id, { content })
  return current.id
}

async function accessible(db: Db, actor: Actor, id: string, role: 'viewer' | 'member'): Promise<SiteRow> {
  if (actor.kind === 'guest') requireTenant(actor, id, role)
  const row = await findSite(db, id)
  if (row === null) throw notFound('site')
  requireTenant(actor, row.tenantId, role, 'site')
  return row
}

function changeable(row: SiteRow | null): SiteRow {
  if (row === null) throw notFound('site')
  if (!row.isPanel) return row
  throw new AppError('CONFLICT', 'This site is the panel itself. It is set by NAMEPLATE_PANEL_HOSTNAME alone.')
}

/** `planLimits` locks the tenant, so of two that take the last place at once one waits and is refused. */
async function checkPlace(tx: Tx, tenantId: string): Promise<void> {
  const { maxSites } = await planLimits(tx, tenantId)
  if (maxSites === null || (await countSites(tx, tenantId)) < maxSites) return
  throw new AppError(
    'LIMIT_REACHED',
    `The plan allows ${maxSites} sites. Delete one that is not needed, or ask for a larger plan.`,
  )
}

async function refuseUsed(tx: Tx, row: SiteRow): Promise<void> {
  const { hostnames, addresses } = await countSiteUses(tx, row.id)
  if (hostnames > 0) {
    throw inUse(`${hostnames === 1 ? 'A hostname points' : `${hostnames} hostnames point`} at this site.`)
  }
  if (addresses > 0) {
    throw inUse(`${addresses === 1 ? 'An address is' : `${addresses} addresses are`} allocated to this site.`)
  }
}

function inUse(what: string): AppError {
  return new AppError('IN_USE', `${what} Move or delete that first, then delete the site.`)
}

/** What a change names: of the options each by itself, never what they say. */
function changedFields({ options, ...rest }: SiteChangeInput): string[] {
  return [...Object.keys(rest), ...Object.keys(options ?? {}).map((key) => `options.${key}`)]
}

function siteName(text: string): string {
  const name = text.trim().normalize('NFC')
  if (name !== '' && !/\p{Cc}/u.test(name)) return name
  throw new AppError('INVALID_INPUT', 'name: give the site a name that can be seen', {
    errors: [{ field: 'name', detail: 'is empty or holds control characters' }],
  })
}

function explain(name: string): (error: unknown) => never {
  return (error) => {
    if (!isUniqueViolation(error)) throw error
    throw new AppError('CONFLICT', `This tenant has a site named "${name}" already. Choose another name.`, {
      errors: [{ field: 'name', detail: 'is taken' }],
      cause: error,
    })
  }
}

async function siteEvent(
  tx: Tx,
  actor: Actor,
  row: SiteRow,
  action: string,
  detail: { kind?: string; fields?: string[] },
): Promise<void> {
  await recordEvent(tx, {
    actor: actorName(actor),
    tenantId: row.tenantId,
    action,
    subjectId: row.id,
    subjectName: row.name,
    detail,
  })
}
