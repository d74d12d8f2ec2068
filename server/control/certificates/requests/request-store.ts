import type { Db, Tx } from '../../db.ts'
import type { Prisma } from '../../generated/client.ts'
import { type Page, pageArguments } from '../../schema.ts'

/** A request with its key, sealed. */
export type RequestRow = Prisma.CertificateRequestGetPayload<object>

/** Context under which the key of a request is sealed. */
export function requestKeyContext(requestId: string): string {
  return `request-key:${requestId}`
}

/** A page of the requests of some tenants, by id. */
export function pageOfRequests(
  db: Db,
  tenants: 'all' | readonly string[],
  tenantId: string | undefined,
  page: Page,
): Promise<RequestRow[]> {
  const visible = tenants === 'all' ? {} : { tenantId: { in: [...tenants] } }
  const where = { AND: [visible, tenantId === undefined ? {} : { tenantId }] }
  return db.certificateRequest.findMany({ ...pageArguments(page), where })
}

/** One request, or null. */
export function findRequest(db: Db | Tx, id: string): Promise<RequestRow | null> {
  return db.certificateRequest.findUnique({ where: { id } })
}

/** Locks a request until the transaction ends; null when it is gone. */
export async function lockRequest(tx: Tx, id: string): Promise<RequestRow | null> {
  await tx.$executeRaw`select id from certificate_request where id = ${id}::uuid for update`
  return findRequest(tx, id)
}

/** How many requests a tenant has. */
export function countRequests(tx: Tx, tenantId: string): Promise<number> {
  return tx.certificateRequest.count({ where: { tenantId } })
}

/** Writes a new request. */
export function insertRequest(tx: Tx, data: Prisma.CertificateRequestUncheckedCreateInput): Promise<RequestRow> {
  return tx.certificateRequest.create({ data })
}

/** Remembers what the certificate of a request became. */
export async function saveRequested(tx: Tx, id: string, certificateId: string): Promise<void> {
  await tx.certificateRequest.update({ where: { id }, data: { certificateId } })
}

/** Deletes a request with its key. */
export async function deleteRequest(tx: Tx, id: string): Promise<void> {
  await tx.certificateRequest.delete({ where: { id } })
}
