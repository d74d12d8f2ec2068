import { timingSafeEqual } from 'node:crypto'
import type { Db } from '../db.ts'
import type { Vault } from '../vault.ts'

const LIFETIME_HOURS = 24

/** An answer as it is kept and repeated. */
export type StoredAnswer = {
  readonly status: number
  readonly body: string | null
  readonly type: string | null
  readonly location: string | null
}

/** The only writer of `idempotency_key`. */
export type IdempotencyStore = {
  /**
   * Takes the key, or says who has it: another request, one that is running since a time, or an answer. `hashes` are
   * of one request: by the present key first, then by those before it.
   */
  take(
    actorId: string,
    key: string,
    hashes: readonly Buffer[],
  ): Promise<'mine' | 'reused' | { since: Date } | StoredAnswer>
  /** Keeps the answer, sealed. */
  keep(actorId: string, key: string, answer: StoredAnswer): Promise<void>
  /** Frees a key whose request failed without a lasting answer. */
  free(actorId: string, key: string): Promise<void>
  /** Forgets keys after 24 hours. */
  purge(): Promise<void>
}

/** Makes the store. */
export function createIdempotencyStore(db: Db, vault: Vault): IdempotencyStore {
  const context = (actorId: string, key: string): string => `idempotency:${actorId}:${key}`
  const store: IdempotencyStore = {
    async take(actorId, key, hashes) {
      const hash = new Uint8Array(hashes[0] ?? [])
      const inserted = await db.$executeRaw`
        insert into idempotency_key (actor_id, key, request_hash) values (${actorId}, ${key}, ${hash})
        on conflict (actor_id, key) do update set request_hash = excluded.request_hash, status = null, body = null,
          created_at = now()
        where idempotency_key.created_at < now() - make_interval(hours => ${LIFETIME_HOURS})`
      if (inserted === 1) return 'mine'
      const row = await db.idempotencyKey.findUnique({ where: { actorId_key: { actorId, key } } })
      if (row === null) return store.take(actorId, key, hashes)
      if (!hashes.some((one) => timingSafeEqual(row.requestHash, one))) return 'reused'
      if (row.status === null || typeof row.body !== 'string') return { since: row.createdAt }
      const opened = vault.unseal(Buffer.from(row.body, 'base64'), context(actorId, key)).toString('utf8')
      return JSON.parse(opened) as StoredAnswer
    },
    async keep(actorId, key, answer) {
      const sealed = Buffer.from(vault.seal(JSON.stringify(answer), context(actorId, key))).toString('base64')
      await db.idempotencyKey.updateMany({ where: { actorId, key }, data: { status: answer.status, body: sealed } })
    },
    async free(actorId, key) {
      await db.idempotencyKey.deleteMany({ where: { actorId, key } })
    },
    async purge() {
      await db.$executeRaw`
        delete from idempotency_key where created_at < now() - make_interval(hours => ${LIFETIME_HOURS})`
    },
  }
  return store
}
