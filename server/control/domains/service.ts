import { unicodeName } from '../../contract/names.ts'
import { type Actor, actorName, requireAdmin, requireTenant, requireUser, visibleTenants } from '../auth/access.ts'
import { type Db, hint, isForeignKeyViolation, type Tx, write } from '../db.ts'
import { AppError, notFound } from '../errors.ts'
import { recordEvent } from '../events/record.ts'
import { type Paged, paged, type WriteOptions } from '../schema.ts'
import { planLimits } from '../tenants/limits.ts'
import { mayChange } from './access.ts'
import type { Checker } from './check.ts'
import { type DiagnosisDeps, diagnose } from './diagnosis.ts'
import { createTurns } from './doctor/turns.ts'
import { ensureDomain, findDomain, forgetProofs, lockRegistrable } from './domain-store.ts'
import {
  countHostnames,
  deleteHostname,
  findHostname,
  findHostnameByName,
  findSite,
  type HostnameRow,
  insertHostname,
  isProvenElsewhere,
  listHostnames,
  setHostnameSite,
} from './hostname-store.ts'
import { type ClaimableName, claimableName } from './name-rules.ts'
import type { Diagnosis, HostnameCreate, HostnameQuery, HostnameUpdate, HostnameView } from './schema.ts'
import { type CertificateHooks, settleDomain } from './settle.ts'
import { nameTaken, trustHostname } from './trusted.ts'
import { hostnameViews, type LiveHostnames } from './view.ts'

/**
 * What is not committed is served by nobody. Besides, to ask takes a connection of its own: as many
 * transactions as the pool has connections would wait for each other.
 */
const nobodyYet: LiveHostnames = async () => new Set()

/** Diagnoses that run at the same time; each takes seconds and many lookups. */
const MAX_DIAGNOSES = 24
const MAX_DIAGNOSES_OF_TENANT = 4

/** What the hostnames service needs. */
export type HostnameServiceDeps = DiagnosisDeps & {
  readonly db: Db
  readonly checker: Checker
  readonly hooks: CertificateHooks
  readonly liveHostnames: LiveHostnames
  /** The installation's own names, in stored form: the panel's and the edges'. */
  readonly reservedNames: readonly string[]
}

/** Hostnames: the names that are served. All methods throw `AppError` and check access first. */
export type HostnameService = ReturnType<typeof createHostnameService>

/** Makes the service. */
export function createHostnameService(deps: HostnameServiceDeps) {
  const { db, hooks } = deps
  const turns = createTurns(MAX_DIAGNOSES, MAX_DIAGNOSES_OF_TENANT)
  const view = async (on: Db | Tx, id: string, live = deps.liveHostnames): Promise<HostnameView> => {
    const row = await findHostname(on, id)
    const [shown] = row === null ? [] : await hostnameViews(on, live, [row])
    if (shown === undefined) throw notFound('hostname')
    return shown
  }
  return {
    async list(actor: Actor, query: HostnameQuery): Promise<Paged<HostnameView>> {
      const rows = await listHostnames(db, visibleTenants(actor), query)
      const page = paged(rows, query, (row) => row)
      return { items: await hostnameViews(db, deps.liveHostnames, page.items), nextCursor: page.nextCursor }
    },

    async get(actor: Actor, id: string): Promise<HostnameView> {
      return view(db, (await accessible(db, actor, id, 'viewer')).id)
    },

    async create(actor: Actor, input: HostnameCreate, options: WriteOptions): Promise<HostnameView> {
      signedIn(actor)
      const isTrusted = input.ownership === 'trusted'
      if (isTrusted) requireAdmin(actor)
      const claim = claimableName(input.name, deps.reservedNames)
      return write(db, options, async (tx) => {
        await lockRegistrable(tx, claim.registrable)
        const { siteId, tenantId } = await siteFor(tx, actor, input)
        await checkPlace(tx, tenantId, claim)
        const { row: domain, isNew } = await ensureDomain(tx, tenantId, claim.registrable)
        if (isNew) await changed(tx, actor, domain, 'domain.created')
        const hostname = { tenantId, domainId: domain.id, siteId, name: claim.name }
        const now = new Date()
        const id = await insertHostname(tx, hostname, now)
        await changed(tx, actor, { ...hostname, id }, 'hostname.created')
        if (isTrusted) await trustHostname(tx, hooks, hostname)
        else await settleDomain(tx, hooks, domain, now)
        await hint(tx, 'domains')
        return view(tx, id, nobodyYet)
      })
    },

    async update(actor: Actor, id: string, input: HostnameUpdate, options: WriteOptions): Promise<HostnameView> {
      const row = await accessible(db, actor, id, 'member')
      const changedView = await write(db, options, async (tx) => {
        const { siteId } = await siteFor(tx, actor, { siteId: input.siteId ?? row.siteId, tenantId: row.tenantId })
        if (siteId !== row.siteId) {
          await setHostnameSite(tx, id, siteId).catch(explainSite)
          await changed(tx, actor, row, 'hostname.changed', { siteId })
        }
        return view(tx, id, nobodyYet)
      })
      return options.dryRun === true ? changedView : view(db, id)
    },

    async remove(actor: Actor, id: string, options: WriteOptions): Promise<void> {
      const seen = await accessible(db, actor, id, 'member')
      await write(db, options, async (tx) => {
        await lockRegistrable(tx, seen.domain.name)
        const row = await findHostname(tx, id)
        if (row === null) throw notFound('hostname')
        mayChange(actor, (await findSite(tx, row.siteId))?.tenant.state)
        await deleteHostname(tx, id)
        await forgetProofs(tx, row.domainId, row.name)
        if (row.certificateId !== null) await hooks.retireCertificate(tx, row.certificateId)
        await changed(tx, actor, row, 'hostname.deleted')
        await hint(tx, 'certificates')
      })
    },

    /** Looks for the proof now, and lets a certificate that waits or failed be tried at once. */
    async check(actor: Actor, id: string): Promise<HostnameView> {
      const row = await accessible(db, actor, id, 'member')
      await deps.checker.checkNow(row.domainId, [id])
      await write(db, {}, async (tx) => {
        const after = await findHostname(tx, id)
        if (after?.ownershipState !== 'verified') return
        if (after.certificateId !== null) await hooks.retryCertificate(tx, after.certificateId)
        await hint(tx, 'certificates')
      })
      return view(db, id)
    },

    /** Throws TOO_MANY_REQUESTS while many are looked at. */
    async diagnosis(actor: Actor, id: string): Promise<Diagnosis> {
      const row = await accessible(db, actor, id, 'viewer')
      const domain = await findDomain(db, row.domainId)
      const [shown] = await hostnameViews(db, deps.liveHostnames, [row])
      if (domain === null || shown === undefined) throw notFound('hostname')
      return turns(row.tenantId, () => diagnose(deps, db, row, shown))
    },
  }
}

/** The row, when the actor may see it in that role; guests are told to sign in before anything is looked up. */
async function accessible(db: Db, actor: Actor, id: string, role: 'viewer' | 'member'): Promise<HostnameRow> {
  signedIn(actor)
  const row = await findHostname(db, id)
  if (row === null) throw notFound('hostname')
  requireTenant(actor, row.tenantId, role, 'hostname')
  return row
}

function signedIn(actor: Actor): void {
  if (actor.kind !== 'system') requireUser(actor)
}

/** The site that a name is for decides the tenant; a `tenantId` must fit it. */
async function siteFor(
  tx: Tx,
  actor: Actor,
  input: { readonly siteId: string; readonly tenantId?: string },
): Promise<{ siteId: string; tenantId: string }> {
  const site = await findSite(tx, input.siteId)
  const seen = visibleTenants(actor)
  // In the same words whether there is no such site or it is another tenant's.
  if (site === null || (seen !== 'all' && !seen.includes(site.tenantId))) throw noSite()
  requireTenant(actor, site.tenantId, 'member', 'site')
  if (input.tenantId !== undefined && input.tenantId !== site.tenantId) throw noSite()
  mayChange(actor, site.tenant.state)
  return { siteId: site.id, tenantId: site.tenantId }
}

function noSite(): AppError {
  const detail = 'There is no such site of this tenant.'
  return new AppError('NOT_FOUND', detail, { errors: [{ field: 'siteId', detail }] })
}

/** Refuses a name that is there already, here or proven elsewhere, and what the plan does not allow. */
async function checkPlace(tx: Tx, tenantId: string, claim: ClaimableName): Promise<void> {
  const shown = unicodeName(claim.name)
  if ((await findHostnameByName(tx, tenantId, claim.name)) !== null) {
    const detail = `"${shown}" is in your list of hostnames already.`
    throw new AppError('NAME_EXISTS', detail, { errors: [{ field: 'name', detail }] })
  }
  if (await isProvenElsewhere(tx, tenantId, claim.name)) throw nameTaken(shown)
  const { maxHostnames } = await planLimits(tx, tenantId)
  if (maxHostnames !== null && (await countHostnames(tx, tenantId)) >= maxHostnames)
    throw new AppError(
      'LIMIT_REACHED',
      `The plan allows ${maxHostnames} hostnames. Remove one, or ask for a larger plan.`,
    )
}

function explainSite(error: unknown): never {
  if (isForeignKeyViolation(error)) throw noSite()
  throw error
}

async function changed(
  tx: Tx,
  actor: Actor,
  subject: { readonly id: string; readonly tenantId: string; readonly name: string },
  action: string,
  detail?: { readonly siteId: string },
): Promise<void> {
  await recordEvent(tx, {
    actor: actorName(actor),
    tenantId: subject.tenantId,
    action,
    subjectId: subject.id,
    subjectName: subject.name,
    ...(detail === undefined ? {} : { detail }),
  })
}
