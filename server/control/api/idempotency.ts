import { createHmac } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { actorName } from '../auth/access.ts'
import type { Db } from '../db.ts'
import { AppError } from '../errors.ts'
import type { Vault } from '../vault.ts'
import { createIdempotencyStore, type IdempotencyStore, type StoredAnswer } from './idempotency-store.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The key that this request holds, until its answer is kept. */
    idempotency: { actorId: string; key: string } | null
  }
}

const MAX_KEY_CHARACTERS = 200
const METHODS = new Set(['POST', 'PATCH', 'PUT', 'DELETE'])
const PURGE_INTERVAL_MS = 3_600_000
/** A request never takes longer (statement time-outs); whoever holds a key for longer was cut off. */
const ABANDONED_AFTER_MS = 300_000

/**
 * Idempotency-Key on writes (draft-ietf-httpapi-idempotency-key-header): the same request with the
 * same key gets the first one's answer, for 24 hours. Answers are sealed, since some hold a secret.
 * After a crash in mid-request the key stays taken: what it did is unknown, and is not done twice.
 */
export function addIdempotency(app: FastifyInstance, db: Db, vault: Vault): void {
  const store = createIdempotencyStore(db, vault)
  app.decorateRequest('idempotency', null)
  app.addHook('preHandler', async (request, reply) => {
    const key = keyOf(request)
    if (key === null) return
    const actorId = actorName(request.actor)
    const text = JSON.stringify([request.method, request.url, request.body ?? null])
    const hashes = vault.deriveAll('idempotency').map((hashKey) => createHmac('sha256', hashKey).update(text).digest())
    const taken = await store.take(actorId, key, hashes)
    if (taken === 'mine') request.idempotency = { actorId, key }
    else return replay(reply, taken)
  })
  app.addHook('onSend', async (request, reply, payload) => {
    await keep(store, request, reply, payload)
    return payload
  })
  const timer = setInterval(() => {
    store.purge().catch((error: unknown) => app.log.warn({ err: error }, 'old idempotency keys were not deleted'))
  }, PURGE_INTERVAL_MS)
  timer.unref()
  app.addHook('onClose', async () => clearInterval(timer))
}

function keyOf(request: FastifyRequest): string | null {
  const key = request.headers['idempotency-key']
  if (key === undefined || !METHODS.has(request.method) || request.actor.kind !== 'user') return null
  if (request.routeOptions.config.takesIdempotencyKey === false || request.routeOptions.config.isPublic) return null
  if ((request.query as { dryRun?: boolean }).dryRun === true || isStream(request.body)) return null
  if (typeof key === 'string' && key.length > 0 && key.length <= MAX_KEY_CHARACTERS) return key
  throw new AppError('INVALID_INPUT', `Idempotency-Key must have 1 to ${MAX_KEY_CHARACTERS} characters.`)
}

/** The content of an upload is not here yet, so it cannot be compared. */
function isStream(body: unknown): boolean {
  return typeof body === 'object' && body !== null && 'pipe' in body
}

function replay(reply: FastifyReply, taken: Exclude<Awaited<ReturnType<IdempotencyStore['take']>>, 'mine'>) {
  if (taken === 'reused')
    throw new AppError('IDEMPOTENCY_KEY_REUSED', 'Use a new Idempotency-Key for each new request.')
  if (!('status' in taken)) {
    const wasCutOff = Date.now() - taken.since.getTime() > ABANDONED_AFTER_MS
    const detail = wasCutOff
      ? 'The first request with this key was cut off. Look whether it was done, then use a new key.'
      : 'Wait for its answer, or ask again in a moment.'
    throw new AppError('IDEMPOTENCY_IN_PROGRESS', detail, wasCutOff ? {} : { retryAfterSeconds: 1 })
  }
  reply.code(taken.status).header('idempotency-replayed', 'true')
  if (taken.location !== null) reply.header('location', taken.location)
  if (taken.type !== null) reply.type(taken.type)
  return reply.send(taken.body ?? undefined)
}

/** Keeps the answer of what was done. A failure changed nothing, so it frees the key. */
async function keep(
  store: IdempotencyStore,
  request: FastifyRequest,
  reply: FastifyReply,
  payload: unknown,
): Promise<void> {
  const held = request.idempotency
  if (held === null || held === undefined) return
  request.idempotency = null
  const isDone = reply.statusCode < 400
  if (!isDone || (payload !== undefined && payload !== null && typeof payload !== 'string')) {
    return store.free(held.actorId, held.key).catch((error: unknown) => {
      request.log.warn({ err: error }, 'an idempotency key was not freed')
    })
  }
  const answer: StoredAnswer = {
    status: reply.statusCode,
    body: payload ?? null,
    type: text(reply.getHeader('content-type')),
    location: text(reply.getHeader('location')),
  }
  await store.keep(held.actorId, held.key, answer).catch((error: unknown) => {
    request.log.warn({ err: error }, 'the answer of an idempotency key was not kept')
  })
}

function text(header: unknown): string | null {
  return typeof header === 'string' ? header : null
}
