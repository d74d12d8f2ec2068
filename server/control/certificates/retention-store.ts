import type { Db } from '../db.ts'

/**
 * What of certificates is forgotten after a while. Ids are UUIDv7 (RFC 9562 section 5.7), so that "made before" is
 * a range of the primary key and no row that is younger is read.
 */

/** Deletes orders that were begun before and have ended. Returns how many. */
export function forgetOrders(db: Db, before: Date, limit: number): Promise<number> {
  return db.$executeRaw`
    delete from "order" where id in (
      select id from "order" where id < ${firstIdOf(before)}::uuid and state in ('valid', 'invalid', 'abandoned')
        limit ${limit})`
}

/** Deletes operations that were asked for before and have ended. Returns how many. */
export function forgetOperations(db: Db, before: Date, limit: number): Promise<number> {
  return db.$executeRaw`
    delete from operation where id in (
      select id from operation where id < ${firstIdOf(before)}::uuid and state <> 'running' limit ${limit})`
}

/** Deletes versions that expired before and that no certificate has as its active one: their keys go with them. Returns how many. */
export function forgetVersions(db: Db, before: Date, limit: number): Promise<number> {
  return db.$executeRaw`
    delete from certificate_version where id in (
      select v.id from certificate_version v
       where v.id < ${firstIdOf(before)}::uuid and v.not_after < ${before}
         and not exists (select from certificate c where c.id = v.certificate_id and c.active_version_id = v.id)
       limit ${limit})`
}

/** Deletes certificates that ended before and that no hostname uses, with all that belongs to them. Returns how many. */
export function forgetCertificates(db: Db, before: Date, limit: number): Promise<number> {
  return db.$executeRaw`
    delete from certificate where id in (
      select id from certificate c
       where state in ('retired', 'revoked') and id < ${firstIdOf(before)}::uuid and updated_at < ${before}
         and not exists (select from hostname h where h.certificate_id = c.id)
       limit ${limit} for update skip locked)`
}

/** The lowest UUIDv7 of a moment. */
function firstIdOf(moment: Date): string {
  const hex = moment.getTime().toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`
}
