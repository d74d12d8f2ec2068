import { PrismaPg } from '@prisma/adapter-pg'
import { Prisma, PrismaClient } from './generated/client.ts'

/** The database as services and stores see it. */
export type Db = PrismaClient

/** An open transaction; store functions take it first, so that none slips out of its caller's. */
export type Tx = Prisma.TransactionClient

/** Longest time that a statement may take; a request never needs more. */
const STATEMENT_TIMEOUT_MS = 30_000

/** Longest wait for a connection of the pool: work that is under way in it takes milliseconds. */
const MAX_WAIT_MS = 10_000

/** Opens a pool of at most `connections`. Does not connect yet. */
export function openDatabase(url: string, connections = 20): Db {
  const adapter = new PrismaPg({
    connectionString: url,
    max: connections,
    connectionTimeoutMillis: 5_000,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    application_name: 'nameplate',
    // The adapter writes and reads times without their offset, so the session has to be in UTC.
    options: '-c timezone=UTC',
  })
  return new PrismaClient({ adapter, transactionOptions: { maxWait: MAX_WAIT_MS, timeout: STATEMENT_TIMEOUT_MS } })
}

/** Whether an error is a violated unique index (of the named constraint or fields, when given). */
export function isUniqueViolation(error: unknown, fragment?: string): boolean {
  if (!(error instanceof Prisma.PrismaClientKnownRequestError) || error.code !== 'P2002') return false
  return fragment === undefined || JSON.stringify(error.meta ?? {}).includes(fragment)
}

/** Whether an error is a violated foreign key or a missing parent. */
export function isForeignKeyViolation(error: unknown): boolean {
  return error instanceof Prisma.PrismaClientKnownRequestError && (error.code === 'P2003' || error.code === 'P2014')
}

/** Whether a transaction met a concurrent one (serialization failure or deadlock); it may be tried again. */
export function isWriteConflict(error: unknown): boolean {
  if (!(error instanceof Prisma.PrismaClientKnownRequestError)) return false
  return error.code === 'P2034' || /40001|40P01/.test(JSON.stringify(error.meta ?? {}))
}

/** Topics of the hints that wake loops; the tables are the truth. */
export type Topic = 'feed' | 'published' | 'certificates' | 'domains' | 'events' | 'dns'

/** The one notification channel; the payload is a `Topic`. */
export const HINT_CHANNEL = 'nameplate'

/** Wakes the loops of a topic when `tx` commits. A lost hint costs one interval, never correctness. */
export async function hint(tx: Tx, topic: Topic): Promise<void> {
  await tx.$executeRaw`select pg_notify(${HINT_CHANNEL}, ${topic})`
}

/** Carries the result of a dry run out of the transaction that it rolls back. */
class DryRun {
  readonly result: unknown
  constructor(result: unknown) {
    this.result = result
  }
}

/**
 * Runs a write in one transaction. With `dryRun` everything is done and checked, the constraints of
 * the database too, and then rolled back.
 */
export async function write<T>(db: Db, options: { dryRun?: boolean }, work: (tx: Tx) => Promise<T>): Promise<T> {
  try {
    return await db.$transaction(async (tx) => {
      const result = await work(tx)
      if (options.dryRun === true) throw new DryRun(result)
      return result
    })
  } catch (error) {
    if (error instanceof DryRun) return error.result as T
    throw error
  }
}
