import type { Db, Tx } from '../db.ts'
import { isPlainAddress } from './rules.ts'

/** A mail for the outbox. Texts are final; nothing in them is read again. */
export type NewMail = {
  /** Whose mail it is, so that it goes with the tenant; null: the platform's. */
  readonly tenantId: string | null
  readonly recipient: string
  readonly subject: string
  readonly text: string
  readonly html: string
}

/** A mail that is being sent, under a lease. `attempts` is the number of this try, and the fence. */
export type ClaimedMail = Omit<NewMail, 'tenantId'> & {
  readonly id: string
  readonly attempts: number
  readonly createdAt: Date
  /** Age by the database's clock. */
  readonly ageMs: number
}

/** A sender that has not said anything for so long is taken for dead; longer than any try lasts. */
const LEASE_SECONDS = 120

/** Puts mails into the outbox, in the transaction of what they tell of. One that has no plain address is left out. */
export async function insertMails(tx: Tx, mails: readonly NewMail[]): Promise<void> {
  const data = mails.filter(({ recipient }) => isPlainAddress(recipient))
  if (data.length > 0) await tx.mailMessage.createMany({ data: data.map((mail) => ({ ...mail })) })
}

/** Takes up to `limit` due mails that nobody sends, longest waiting first. */
export function claimMails(db: Db, limit: number): Promise<ClaimedMail[]> {
  return db.$queryRaw<ClaimedMail[]>`
    update mail_message m
       set attempts = attempts + 1, lease_expires_at = now() + make_interval(secs => ${LEASE_SECONDS})
     where id in (
       select id from mail_message
        where due_at <= now() and (lease_expires_at is null or lease_expires_at < now())
        order by due_at limit ${limit} for update skip locked)
    returning id::text, recipient, subject, text, html, attempts, created_at as "createdAt",
      (extract(epoch from now() - created_at) * 1000)::float8 as "ageMs"`
}

/** Keeps that the mail server took a mail. False: another sender has the mail now. */
export async function markSent(db: Db | Tx, { id, attempts }: ClaimedMail): Promise<boolean> {
  const count = await db.$executeRaw`
    update mail_message set sent_at = now(), due_at = null, lease_expires_at = null, last_error = null
     where id = ${id}::uuid and attempts = ${attempts}`
  return count === 1
}

/** Gives a mail back, to be tried again in `waitMs`; null: never. False: another sender has the mail now. */
export async function markFailed(
  db: Db | Tx,
  { id, attempts }: ClaimedMail,
  error: string,
  waitMs: number | null,
): Promise<boolean> {
  const count =
    waitMs === null
      ? await db.$executeRaw`
          update mail_message set given_up_at = now(), due_at = null, lease_expires_at = null, last_error = ${error}
           where id = ${id}::uuid and attempts = ${attempts}`
      : await db.$executeRaw`
          update mail_message
             set due_at = now() + ${waitMs} * interval '1 millisecond', lease_expires_at = null, last_error = ${error}
           where id = ${id}::uuid and attempts = ${attempts}`
  return count === 1
}

/** Gives mails back that were not tried: the try is not counted. */
export async function unclaimMails(db: Db, mails: readonly ClaimedMail[], waitMs: number): Promise<void> {
  for (const { id, attempts } of mails)
    await db.$executeRaw`
      update mail_message set attempts = attempts - 1, due_at = now() + ${waitMs} * interval '1 millisecond',
        lease_expires_at = null
       where id = ${id}::uuid and attempts = ${attempts}`
}

/** Milliseconds until a mail is due that nobody sends; null when there is none. */
export async function msUntilMail(db: Db): Promise<number | null> {
  const [row] = await db.$queryRaw<{ ms: number | null }[]>`
    select (extract(epoch from min(greatest(due_at, coalesce(lease_expires_at, due_at))) - now()) * 1000)::float8 as ms
      from (select due_at, lease_expires_at from mail_message where due_at is not null order by due_at limit 100) earliest`
  return row?.ms == null ? null : Math.max(0, Math.ceil(row.ms))
}

/** Deletes mails from before that were sent or given up. Returns how many. */
export function forgetMails(db: Db, before: Date, limit: number): Promise<number> {
  return db.$executeRaw`
    delete from mail_message where id in (
      select id from mail_message where due_at is null and created_at < ${before} order by id limit ${limit})`
}

/** The sealed password at the mail server, or null. */
export async function findMailPassword(db: Db | Tx): Promise<Uint8Array | null> {
  return (await db.mailSecret.findUnique({ where: { id: 1 } }))?.passwordSealed ?? null
}

/** Keeps the sealed password; null forgets it. */
export async function saveMailPassword(tx: Tx, passwordSealed: Uint8Array<ArrayBuffer> | null): Promise<void> {
  if (passwordSealed === null) await tx.mailSecret.deleteMany()
  else await tx.mailSecret.upsert({ where: { id: 1 }, create: { passwordSealed }, update: { passwordSealed } })
}
