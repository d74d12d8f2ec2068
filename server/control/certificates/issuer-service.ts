import { randomUUIDv7, X509Certificate } from 'node:crypto'
import { type Actor, actorName, requireAdmin } from '../auth/access.ts'
import { type Db, hint, isForeignKeyViolation, isUniqueViolation, type Tx, write } from '../db.ts'
import { AppError, notFound } from '../errors.ts'
import { recordEvent } from '../events/record.ts'
import { type Page, type Paged, paged, type WriteOptions } from '../schema.ts'
import type { Vault } from '../vault.ts'
import { readDirectoryMeta } from './acme-session.ts'
import { readCircuit } from './circuit.ts'
import { IssuerProblem } from './issuer.ts'
import * as store from './issuer-store.ts'
import { knownStagingUrl, type LimitOverrides, limitsOf } from './limits.ts'
import type { IssuerCreateInput, IssuerPatchInput, IssuerView } from './schema.ts'
import { wakeForIssuers } from './store.ts'

/** Issuers, for administrators. */
export type IssuerService = {
  list(actor: Actor, page: Page): Promise<Paged<IssuerView>>
  get(actor: Actor, id: string): Promise<IssuerView>
  /** Asks the directory first. Throws ISSUER_INVALID, CONFLICT. */
  create(actor: Actor, input: IssuerCreateInput, options: WriteOptions): Promise<IssuerView>
  update(actor: Actor, id: string, input: IssuerPatchInput, options: WriteOptions): Promise<IssuerView>
  /** Throws IN_USE while something was issued by it. */
  remove(actor: Actor, id: string, options: WriteOptions): Promise<void>
  /** The local CA's root, PEM: public, so that anybody may trust it. `local` names the first one. */
  rootPem(id: string): Promise<string>
}

type Deps = { readonly db: Db; readonly vault: Vault; readonly version: string }

/** Makes the service over one database. */
export function createIssuerService(deps: Deps): IssuerService {
  const { db } = deps
  const find = async (tx: Db | Tx, id: string): Promise<store.IssuerRow> => {
    const row = await store.findIssuer(tx, id)
    if (row === null) throw notFound('issuer')
    return row
  }
  return {
    async list(actor, page) {
      requireAdmin(actor, 'read')
      return paged(await store.pageOfIssuers(db, page), page, viewOf)
    },
    async get(actor, id) {
      requireAdmin(actor, 'read')
      return viewOf(await find(db, id))
    },
    async create(actor, input, options) {
      requireAdmin(actor)
      await checkDirectory(input, deps.version)
      return write(db, options, async (tx) => {
        const row = await store.insertIssuer(tx, columnsOf(input, deps.vault)).catch(nameTaken)
        await changed(tx, actor, row, 'created')
        return viewOf(row)
      })
    },
    async update(actor, id, input, options) {
      requireAdmin(actor)
      return write(db, options, async (tx) => {
        const present = await find(tx, id)
        const { termsAgreed, limits, ...columns } = input
        const agreedNow = termsAgreed === true && present.termsAgreedAt === null
        const changedLimits =
          limits === undefined ? {} : { limits: store.limitsColumn(limits as LimitOverrides | null) }
        const data = { ...columns, ...changedLimits, ...(agreedNow ? { termsAgreedAt: new Date() } : {}) }
        const row = await store.updateIssuer(tx, id, data).catch(nameTaken)
        await changed(tx, actor, row, 'changed')
        return viewOf(row)
      })
    },
    async remove(actor, id, options) {
      requireAdmin(actor)
      await write(db, options, async (tx) => {
        const row = await find(tx, id)
        await store.deleteIssuer(tx, id).catch(inUse)
        await changed(tx, actor, row, 'deleted')
      })
    },
    async rootPem(id) {
      const row = id === 'local' ? await store.findLocalIssuer(db) : await store.findIssuer(db, id)
      if (row?.rootPem == null) throw notFound('local CA')
      return row.rootPem
    },
  }
}

/** Whether browsers trust what it issues, as far as can be known. */
export function isPubliclyTrusted(row: {
  readonly kind: 'acme' | 'local'
  readonly trustRootPem: string | null
}): boolean {
  return row.kind === 'acme' && row.trustRootPem === null
}

/** The columns of a new ACME issuer, its secret sealed. */
export function columnsOf(
  input: IssuerCreateInput,
  vault: Vault,
): Parameters<typeof store.insertIssuer>[1] & { readonly id: string } {
  const id = randomUUIDv7()
  const { eabKid, eabHmacKey } = input
  const eab =
    eabKid === undefined || eabHmacKey === undefined
      ? {}
      : { eabKid, eabKeySealed: vault.seal(eabHmacKey, store.issuerSecret.eabKey(id)) }
  return {
    id,
    kind: 'acme',
    name: input.name,
    directoryUrl: input.directoryUrl,
    priority: input.priority ?? 100,
    profile: input.profile ?? null,
    email: input.email ?? null,
    termsAgreedAt: input.termsAgreed === true ? new Date() : null,
    trustRootPem: input.trustRootPem ?? null,
    stagingUrl: input.stagingUrl === undefined ? knownStagingUrl(input.directoryUrl) : input.stagingUrl,
    preferredChain: input.preferredChain ?? null,
    limits: store.limitsColumn((input.limits as LimitOverrides | null | undefined) ?? null),
    ...eab,
  }
}

/** Refuses what cannot work before anything is stored: roots, the directory, its terms, binding and profiles. */
async function checkDirectory(input: IssuerCreateInput, version: string): Promise<void> {
  checkRoots(input.trustRootPem)
  if ((input.eabKid === undefined) !== (input.eabHmacKey === undefined))
    throw invalid('Give both eabKid and eabHmacKey, or neither.', 'eabKid')
  const { directoryUrl, trustRootPem = null } = input
  const meta = await readDirectoryMeta({ directoryUrl, trustRootPem, version }).catch((error: unknown) => {
    if (error instanceof IssuerProblem)
      throw invalid(
        `The directory cannot be used: ${error.detail}. Check the URL and, for a private CA, its trust root.`,
        'directoryUrl',
      )
    throw error
  })
  if (meta.termsOfService !== null && input.termsAgreed !== true)
    throw invalid(`Agree to the terms of service of this CA first: ${meta.termsOfService}`, 'termsAgreed')
  if (meta.externalAccountRequired && input.eabKid === undefined)
    throw invalid('This CA needs an external account binding: give eabKid and eabHmacKey.', 'eabKid')
  const { profile } = input
  if (profile !== undefined && meta.profiles !== null && !meta.profiles.includes(profile))
    throw invalid(`This CA has no profile "${profile}"; it has: ${meta.profiles.join(', ')}`, 'profile')
}

/** Refuses what is not one or more certificates in PEM; none given is fine. Throws INVALID_INPUT. */
export function checkRoots(pem: string | undefined): void {
  if (pem === undefined) return
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  try {
    if (blocks.map((block) => new X509Certificate(block)).length > 0) return
  } catch {
    // Falls through to the one error for both.
  }
  throw invalid('The trust root is not one or more certificates in PEM.', 'trustRootPem')
}

function invalid(detail: string, field: string): AppError {
  return new AppError('ISSUER_INVALID', detail, { errors: [{ field, detail }] })
}

function nameTaken(error: unknown): never {
  if (isUniqueViolation(error))
    throw new AppError('CONFLICT', 'There is an issuer of this name already.', { cause: error })
  throw error
}

function inUse(error: unknown): never {
  if (!isForeignKeyViolation(error)) throw error
  throw new AppError('IN_USE', 'Certificates were issued by it. Disable it instead: what it issued stays.', {
    cause: error,
  })
}

async function changed(
  tx: Tx,
  actor: Actor,
  row: store.IssuerRow,
  what: 'created' | 'changed' | 'deleted',
): Promise<void> {
  await wakeForIssuers(tx)
  await hint(tx, 'certificates')
  const event = { actor: actorName(actor), tenantId: null, action: `issuer.${what}` }
  await recordEvent(tx, { ...event, subjectId: row.id, subjectName: row.name })
}

function viewOf(row: store.IssuerRow): IssuerView {
  return {
    id: row.id,
    name: row.name,
    kind: row.kind,
    priority: row.priority,
    isEnabled: row.isEnabled,
    isPubliclyTrusted: isPubliclyTrusted(row),
    directoryUrl: row.directoryUrl,
    profile: row.profile,
    email: row.email,
    termsAgreedAt: row.termsAgreedAt?.toISOString() ?? null,
    eabKid: row.eabKid,
    hasTrustRoot: row.trustRootPem !== null,
    accountUrl: row.accounts[0]?.url ?? null,
    stagingUrl: row.stagingUrl,
    preferredChain: row.preferredChain,
    limits: limitsOf(row),
    failing: failingOf(row),
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  }
}

function failingOf(row: store.IssuerRow): IssuerView['failing'] {
  const circuit = readCircuit(row.circuit)
  if (circuit === null) return null
  const { since, code, detail } = circuit
  return { since, pausedUntil: circuit.openUntil, code, detail }
}
