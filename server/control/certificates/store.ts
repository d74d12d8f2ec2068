import { randomUUIDv7 } from 'node:crypto'
import { type Db, hint, type Tx } from '../db.ts'
import { Prisma } from '../generated/client.ts'
import { type Page, pageArguments } from '../schema.ts'
import type { PlacedOrder, RemoteChallenge, RemoteOrder } from './issuer.ts'
import type { CertificateProblem } from './problems.ts'
import { takeOver } from './takeover-store.ts'
import type { VerifiedChain } from './verify.ts'

/** Order states in which the issuer may still deliver; at most one such order per certificate. */
export const openOrderStates = ['created', 'pending', 'ready', 'processing'] as const

/** Longest history that is shown of one certificate. */
const MAX_HISTORY = 50

const forWork = {
  activeVersion: {
    select: {
      issuerId: true,
      accountId: true,
      chainPem: true,
      notBefore: true,
      notAfter: true,
      id: true,
      revocationWantedAt: true,
    },
  },
  tenant: { select: { issuerIds: true, plan: { select: { issuerIds: true } } } },
  hostnames: { select: { id: true, name: true, ownershipState: true, nextCertificateId: true } },
  nextHostnames: { select: { id: true, name: true, ownershipState: true, nextCertificateId: true } },
  orders: { where: { state: { in: [...openOrderStates] } } },
} as const satisfies Prisma.CertificateInclude

/** A certificate with what the manager decides by. */
export type WorkedCertificate = Prisma.CertificateGetPayload<{ include: typeof forWork }>

/** An order as it is kept. */
export type OrderRow = WorkedCertificate['orders'][number]

const forView = { issuer: true, activeVersion: true } as const satisfies Prisma.CertificateInclude

/** A certificate as lists show it. */
export type ViewedCertificate = Prisma.CertificateGetPayload<{ include: typeof forView }>

const forDetail = {
  ...forView,
  versions: { orderBy: { createdAt: 'desc' }, take: MAX_HISTORY },
  orders: { orderBy: { createdAt: 'desc' }, take: MAX_HISTORY },
  hostnames: { orderBy: { name: 'asc' }, take: MAX_HISTORY, select: { id: true, name: true } },
} as const satisfies Prisma.CertificateInclude

/** A certificate with its history. */
export type DetailedCertificate = Prisma.CertificateGetPayload<{ include: typeof forDetail }>

/** Context under which an order's key is sealed. */
export function orderKeyContext(orderId: string): string {
  return `order-key:${orderId}`
}

/** Context under which the key of a tls-alpn-01 certificate is sealed; the publisher opens it so. */
export function challengeKeyContext(name: string): string {
  return `challenge-key:${name}`
}

/** Context under which a version's key is sealed; the publisher opens it so. */
export function certificateKeyContext(fingerprint: string): string {
  return `certificate-key:${fingerprint}`
}

/** A certificate for the manager, or null. Hostnames that it is to take over count as its own. */
export async function loadForWork(db: Db | Tx, id: string): Promise<WorkedCertificate | null> {
  const row = await db.certificate.findUnique({ where: { id }, include: forWork })
  return row === null ? null : { ...row, hostnames: [...row.hostnames, ...row.nextHostnames] }
}

/** A page of certificates that the tenants own (`all` for every tenant), by id. */
export function pageOfCertificates(
  db: Db | Tx,
  tenants: 'all' | readonly string[],
  filter: { tenantId?: string; state?: Prisma.CertificateWhereInput['state'] },
  page: Page,
): Promise<ViewedCertificate[]> {
  const visible = tenants === 'all' ? {} : { tenantId: { in: [...tenants] } }
  const { tenantId, state } = filter
  const where = { AND: [visible, tenantId === undefined ? {} : { tenantId }, state === undefined ? {} : { state }] }
  return db.certificate.findMany({ ...pageArguments(page), where, include: forView })
}

/** One certificate with its history, or null. */
export function findCertificate(db: Db | Tx, id: string): Promise<DetailedCertificate | null> {
  return db.certificate.findUnique({ where: { id }, include: forDetail })
}

/** An order with its certificate's tenant, or null. */
export function findOrder(
  db: Db | Tx,
  id: string,
): Promise<Prisma.OrderGetPayload<typeof orderWithCertificate> | null> {
  return db.order.findUnique({ where: { id }, ...orderWithCertificate })
}

const orderWithCertificate = {
  include: { certificate: { select: { id: true, tenantId: true, problem: true } } },
} as const satisfies Prisma.OrderDefaultArgs

/** The certificate's open order, or null. */
export function findOpenOrder(tx: Tx, certificateId: string): Promise<OrderRow | null> {
  return tx.order.findFirst({ where: { certificateId, state: { in: [...openOrderStates] } } })
}

/** What was made for one hostname. */
export type AdoptedHostname = { readonly certificateId: string; readonly tenantId: string; readonly name: string }

/**
 * Makes a certificate for up to `limit` proven hostnames that have none, and links them. Two
 * managers never take the same hostname. `hostname.certificate_id` is the one column of another
 * domain that is written in this file.
 */
export async function adoptHostnames(tx: Tx, limit: number): Promise<AdoptedHostname[]> {
  const hostnames = await tx.$queryRaw<{ id: string; tenant_id: string; name: string }[]>`
    select id, tenant_id, name from hostname
     where ownership_state = 'verified' and certificate_id is null
     order by id limit ${limit} for update skip locked`
  if (hostnames.length === 0) return []
  const adopted = hostnames.map((row) => ({
    certificateId: randomUUIDv7(),
    tenantId: row.tenant_id,
    name: row.name,
  }))
  await tx.certificate.createMany({
    data: adopted.map(({ certificateId, tenantId, name }) => ({ id: certificateId, tenantId, names: [name] })),
  })
  const ids = hostnames.map(({ id }) => id)
  const certificateIds = adopted.map(({ certificateId }) => certificateId)
  await tx.$executeRaw`
    update hostname set certificate_id = pair.certificate_id, updated_at = now()
      from unnest(${ids}::uuid[], ${certificateIds}::uuid[]) as pair (id, certificate_id)
     where hostname.id = pair.id`
  return adopted
}

/** Makes paused certificates due whose hostname is proven again. Returns how many. */
export function wakeReproven(tx: Tx | Db): Promise<number> {
  return tx.$executeRaw`
    update certificate c set due_at = now()
      from hostname h
     where h.certificate_id = c.id and h.ownership_state = 'verified'
       and c.state = 'paused' and c.problem ->> 'code' = 'OWNERSHIP_LAPSED' and c.due_at > now()`
}

/** Makes due what another choice of issuers may change: all that is paused or waits for its turn, and what the local CA issued. */
export async function wakeForIssuers(tx: Tx): Promise<void> {
  await tx.$executeRaw`
    update certificate c set due_at = now(), shunned = '{}'
     where c.source = 'issued'
       and (c.state = 'paused' or c.queued_at is not null or (c.state in ('valid', 'failing', 'expired')
            and exists (select 1 from issuer i where i.id = c.issuer_id and i.kind = 'local')))`
}

/** For a new or changed DNS provider, of a tenant or of the platform (null): wildcards that wait for one are tried. */
export async function wakePaused(tx: Tx, tenantId: string | null): Promise<void> {
  await tx.certificate.updateMany({
    where: {
      state: 'paused',
      problem: { path: ['code'], equals: 'WILDCARD_NEEDS_DNS' },
      ...(tenantId === null ? {} : { tenantId }),
    },
    data: { dueAt: new Date() },
  })
  await hint(tx, 'certificates')
}

/** Places a new order row with its sealed key. Throws a unique violation when one is open. */
export function insertOrder(
  tx: Tx,
  order: {
    id: string
    certificateId: string
    issuerId: string
    names: string[]
    keySealed: Uint8Array<ArrayBuffer>
    replaces: string | null
    profile: string | null
    isRehearsal: boolean
  },
): Promise<OrderRow> {
  return tx.order.create({ data: order })
}

/** Keeps by which account an order is placed. */
export async function saveAccount(tx: Tx, id: string, accountId: string | null): Promise<void> {
  await tx.order.update({ where: { id }, data: { accountId } })
}

/** Keeps what the issuer said of an order. */
export async function saveRemoteOrder(tx: Tx, id: string, remote: RemoteOrder): Promise<void> {
  const { url, finalizeUrl, certificateUrl, expiresAt } = remote
  // `valid` here means "served by us"; until then a finalized order is `processing`.
  const state = remote.state === 'valid' || remote.state === 'invalid' ? 'processing' : remote.state
  await tx.order.update({ where: { id }, data: { url, finalizeUrl, certificateUrl, expiresAt, state } })
}

/** Keeps what the issuer said of a new order, and what of the request it took. */
export async function savePlacedOrder(tx: Tx, id: string, placed: PlacedOrder): Promise<void> {
  const { profile, replaces } = placed
  await saveRemoteOrder(tx, id, placed)
  await tx.order.update({ where: { id }, data: { profile, replaces } })
}

/** Which of these orders at an issuer are in our rows. */
export async function knownOrderUrls(db: Db, urls: readonly string[]): Promise<Set<string>> {
  const rows = await db.$queryRaw<{ url: string }[]>`select url from "order" where url = any(${[...urls]}::text[])`
  return new Set(rows.map(({ url }) => url))
}

/** Remembers that the issuer was still at work. Returns how often it was, this time included. */
export async function countLook(tx: Tx, id: string): Promise<number> {
  const { looks } = await tx.order.update({ where: { id }, data: { looks: { increment: 1 } }, select: { looks: true } })
  return looks
}

/** Ends an order: its key is wiped and its challenges are withdrawn from the edges. */
export async function closeOrder(
  tx: Tx,
  id: string,
  state: 'valid' | 'invalid' | 'abandoned',
  problem: CertificateProblem | null,
): Promise<void> {
  await tx.challenge.deleteMany({ where: { orderId: id } })
  await tx.order.updateMany({
    where: { id, state: { in: [...openOrderStates] } },
    data: { state, problem: problem ?? Prisma.DbNull, keySealed: new Uint8Array(0) },
  })
}

/** The URLs of the challenges of an order that are kept. */
export async function challengeUrls(db: Db, orderId: string): Promise<string[]> {
  const rows = await db.challenge.findMany({ where: { orderId }, select: { url: true } })
  return rows.map(({ url }) => url)
}

/** Keeps a challenge, and so gives it to the edges where they answer it. */
export async function publishChallenge(
  tx: Tx,
  orderId: string,
  { type, url, token, keyAuthorization, name, authorizationUrl }: NewChallenge,
  certificate: { readonly certificatePem: string; readonly keySealed: Uint8Array<ArrayBuffer> } | null,
): Promise<void> {
  const id = randomUUIDv7()
  const data = { type, url, token: token === '' ? id : token, keyAuthorization, name, authorizationUrl, orderId }
  await tx.challenge.create({ data: { id, ...data, ...certificate } })
}

/** A challenge with the name that it proves. */
export type NewChallenge = RemoteChallenge & { readonly name: string; readonly authorizationUrl: string }

/** Remembers that the issuer was told. */
export async function markSubmitted(tx: Tx, orderId: string): Promise<void> {
  await tx.challenge.updateMany({ where: { orderId, state: 'pending' }, data: { state: 'submitted' } })
}

/** By which type an order was to be proven; null before that was chosen. */
export async function challengeTypeOf(db: Db, orderId: string): Promise<string | null> {
  const row = await db.challenge.findFirst({ where: { orderId }, select: { type: true } })
  return row?.type ?? null
}

/** Adds the issued version and makes it the active one. What was kept of failures, of the old window and the lease is cleared. */
export async function activateVersion(
  tx: Tx,
  certificateId: string,
  origin: { readonly issuerId: string; readonly accountId: string | null },
  chain: VerifiedChain,
  keySealed: Uint8Array<ArrayBuffer>,
  planned: { readonly renewAt: Date; readonly ariPollAt: Date },
): Promise<void> {
  const { fingerprint, serial, chainPem, keyAlgorithm, notBefore, notAfter } = chain
  const issued = { fingerprint, serial, names: [...chain.names], keyAlgorithm, chainPem, notBefore, notAfter }
  const version = await tx.certificateVersion.create({ data: { certificateId, ...origin, ...issued, keySealed } })
  await updateCertificate(tx, certificateId, {
    activeVersionId: version.id,
    issuerId: origin.issuerId,
    state: 'valid',
    ...planned,
    ...noWindow,
    dueAt: planned.ariPollAt < planned.renewAt ? planned.ariPollAt : planned.renewAt,
    shunned: {},
    isRehearsing: false,
    failedChallenge: null,
    departedAt: null,
    heldUntil: null,
    ...noProblem,
    ...noLease,
  })
  await takeOver(tx, certificateId, version.id)
}

/** Columns of a certificate whose CA has suggested no window yet. */
export const noWindow = { ariStart: null, ariEnd: null, ariSelectedAt: null, ariUrl: null } as const

/** Columns of a certificate that nobody works on. */
export const noLease = { leaseHolder: null, leaseExpiresAt: null } as const

/** Columns of a certificate that has nothing to complain about. */
export const noProblem = { failures: 0, problem: Prisma.DbNull } as const

/** Changes a certificate's own columns. */
export async function updateCertificate(
  tx: Tx,
  id: string,
  data: Prisma.CertificateUncheckedUpdateInput,
): Promise<void> {
  await tx.certificate.update({ where: { id }, data })
}

/**
 * Retires a certificate: nothing is ordered any more, an open order ends, whoever works on it loses
 * the lease. A hostname that is proven again later gets a new one. Returns whether it was not retired before.
 */
export async function retire(tx: Tx, id: string): Promise<boolean> {
  const { count } = await tx.certificate.updateMany({
    where: { id, state: { notIn: ['retired', 'revoked'] } },
    data: { state: 'retired', dueAt: null, problem: Prisma.DbNull, ...noLease },
  })
  const open = await findOpenOrder(tx, id)
  if (open !== null) await closeOrder(tx, open.id, 'abandoned', null)
  await tx.$executeRaw`update hostname set certificate_id = null where certificate_id = ${id}::uuid`
  await tx.$executeRaw`update hostname set next_certificate_id = null where next_certificate_id = ${id}::uuid`
  return count === 1
}

/** Makes a certificate due now, at any issuer, unless it is fine, finished or waits for its turn. Returns whether it was changed. */
export async function wakeCertificate(tx: Tx, id: string): Promise<boolean> {
  const { count } = await tx.certificate.updateMany({
    where: { id, source: 'issued', queuedAt: null, state: { notIn: ['valid', 'retired', 'revoked'] } },
    data: { dueAt: new Date(), shunned: {}, failedChallenge: null },
  })
  return count === 1
}

/** Reads a kept problem. */
export function readStoredProblem(value: Prisma.JsonValue): (CertificateProblem & { at: string | null }) | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null
  const { code, detail, at } = value
  if (typeof code !== 'string' || typeof detail !== 'string') return null
  return { code, detail, at: typeof at === 'string' ? at : null }
}
