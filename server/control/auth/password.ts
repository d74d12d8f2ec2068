import { argon2, randomBytes, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { AppError } from '../errors.ts'

const derive = promisify(argon2)

/** OWASP's least for argon2id: 19 MiB, 2 passes, 1 lane (RFC 9106 for the algorithm). */
const COST = { memory: 19 * 1024, passes: 2, parallelism: 1 } as const
const SALT_BYTES = 16
const HASH_BYTES = 32
/** Two at once leave the thread pool room for files and DNS; each takes 19 MiB. */
const MAX_RUNNING = 2
const MAX_WAITING = 100

let running = 0
const waiting: (() => void)[] = []

/** The hash of a password, as a PHC string with its parameters. Throws TOO_MANY_REQUESTS when too many wait. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES)
  const hash = await hashOf(password, salt, { ...COST, tagLength: HASH_BYTES })
  return `$argon2id$v=19$m=${COST.memory},t=${COST.passes},p=${COST.parallelism}$${base64(salt)}$${base64(hash)}`
}

/**
 * Whether a password has the stored hash. With `stored` null (no such user, or none set) it takes just
 * as long and says no. Throws TOO_MANY_REQUESTS when too many wait.
 */
export async function verifyPassword(password: string, stored: string | null): Promise<boolean> {
  const phc = parsePhc(stored ?? NOBODY) ?? parsePhc(NOBODY)
  if (phc === null) return false
  const hash = await hashOf(password, phc.salt, { ...phc.cost, tagLength: phc.hash.length })
  return timingSafeEqual(hash, phc.hash) && stored !== null
}

/** A hash of this cost that no password has. */
const NOBODY = `$argon2id$v=19$m=${COST.memory},t=${COST.passes},p=${COST.parallelism}$${base64(randomBytes(SALT_BYTES))}$${base64(randomBytes(HASH_BYTES))}`

type Cost = { readonly memory: number; readonly passes: number; readonly parallelism: number }

function parsePhc(text: string): { cost: Cost; salt: Buffer; hash: Buffer } | null {
  const match = /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/.exec(text)
  if (match === null) return null
  const [, memory, passes, parallelism, salt = '', hash = ''] = match
  return {
    cost: { memory: Number(memory), passes: Number(passes), parallelism: Number(parallelism) },
    salt: Buffer.from(salt, 'base64'),
    hash: Buffer.from(hash, 'base64'),
  }
}

async function hashOf(password: string, salt: Buffer, cost: Cost & { tagLength: number }): Promise<Buffer> {
  await enter()
  try {
    return await derive('argon2id', { message: password.normalize('NFC'), nonce: salt, ...cost })
  } finally {
    leave()
  }
}

async function enter(): Promise<void> {
  if (running < MAX_RUNNING) {
    running += 1
    return
  }
  if (waiting.length >= MAX_WAITING)
    throw new AppError('TOO_MANY_REQUESTS', 'Too many people sign in at this moment.', { retryAfterSeconds: 5 })
  await new Promise<void>((resolve) => waiting.push(resolve))
}

/** Hands the place on, or gives it back. */
function leave(): void {
  const next = waiting.shift()
  if (next === undefined) running -= 1
  else next()
}

function base64(bytes: Buffer): string {
  return bytes.toString('base64').replaceAll('=', '')
}
