import { createHmac, randomBytes } from 'node:crypto'
import { fitsBasicAuthHash } from '../../contract/basic-auth-hash.ts'
import type { BasicAuth } from '../../contract/site-options.ts'
import {
  MAX_WAITING_PASSWORDS,
  PASSWORD_CACHE_ENTRIES,
  PASSWORD_JOBS,
  WRONG_PASSWORD_BURST,
  WRONG_PASSWORD_EVERY_MS,
} from './limits.ts'
import { createLru } from './lru.ts'

/** What a worker says to credentials. `throttled`: this client was wrong too often. `busy`: too many are being checked. */
export type Verdict = 'admitted' | 'refused' | 'throttled' | 'busy'

/** Who asks: failures count for a client at a site, so that neighbours behind one address stay apart. */
export type Asker = { readonly siteId: string; readonly remoteAddress: string }

/** Checks the credentials of basic authentication (RFC 7617) for all sites of a worker. */
export type BasicAuthGate = {
  /** `field` is the Authorization field as sent. */
  check(auth: BasicAuth, field: string | undefined, asker: Asker): Promise<Verdict>
}

/** What is checked for a name that nobody has, so that it takes as long: a hash that no password is known for. */
const NOBODY = `scrypt:16384:${randomBytes(16).toString('base64')}:${randomBytes(32).toString('base64')}`
const MAX_FIELD_CHARS = 1_024

/**
 * Makes the gate. Successes are remembered under a keyed hash, so that a page with a hundred files costs one scrypt;
 * a changed password has another hash, and what was remembered for the old one opens nothing. `nowMs` is a clock.
 */
export function createBasicAuthGate(nowMs: () => number = () => performance.now()): BasicAuthGate {
  const secret = randomBytes(32)
  const known = createLru<true>(PASSWORD_CACHE_ENTRIES)
  const wrong = createLru<{ count: number; at: number }>(PASSWORD_CACHE_ENTRIES)
  const slots = createSlots(PASSWORD_JOBS, MAX_WAITING_PASSWORDS)

  const isThrottled = (key: string): boolean => {
    const before = wrong.get(key)
    return before !== undefined && remaining(before, nowMs()) >= WRONG_PASSWORD_BURST
  }
  const noteWrong = (key: string): void => {
    const now = nowMs()
    const before = wrong.get(key)
    wrong.set(key, { count: before === undefined ? 1 : remaining(before, now) + 1, at: now }, 1)
  }
  return {
    async check(auth, field, { siteId, remoteAddress }) {
      const credentials = parseCredentials(field)
      if (credentials === null) return 'refused'
      const user = auth.users.find(({ name }) => name === credentials.name)
      const hash = user?.hash ?? NOBODY
      const proof = createHmac('sha256', secret).update(`${hash}\0${credentials.password}`).digest('base64')
      if (known.get(proof) === true) return 'admitted'
      const key = `${siteId} ${remoteAddress}`
      if (isThrottled(key)) return 'throttled'
      const fits = await slots(() => fitsBasicAuthHash(hash, credentials.password))
      if (fits === null) return 'busy'
      if (fits) known.set(proof, true, 1)
      else noteWrong(key)
      return fits ? 'admitted' : 'refused'
    },
  }
}

/** What is left of earlier failures: they wear off one by one. */
function remaining({ count, at }: { count: number; at: number }, now: number): number {
  return Math.max(0, count - Math.floor((now - at) / WRONG_PASSWORD_EVERY_MS))
}

function parseCredentials(field: string | undefined): { name: string; password: string } | null {
  if (field === undefined || field.length > MAX_FIELD_CHARS) return null
  const encoded = /^Basic +([A-Za-z0-9+/=]+) *$/i.exec(field)?.[1]
  if (encoded === undefined) return null
  const text = Buffer.from(encoded, 'base64').toString('utf8')
  const colon = text.indexOf(':')
  return colon < 0 ? null : { name: text.slice(0, colon), password: text.slice(colon + 1) }
}

/** Runs so many at once and lets so many wait; null, at once, for one more. */
function createSlots(jobs: number, mostWaiting: number): <T>(work: () => Promise<T>) => Promise<T | null> {
  const waiting: (() => void)[] = []
  let running = 0
  return async (work) => {
    if (running >= jobs) {
      if (waiting.length >= mostWaiting) return null
      await new Promise<void>((resolve) => waiting.push(resolve))
    } else running += 1
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next === undefined) running -= 1
      else next()
    }
  }
}
