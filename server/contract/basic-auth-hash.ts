import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'

/** N of scrypt (RFC 7914): 16 MiB and some 40 ms for each try. r and p are what RFC 7914 section 2 advises. */
const COST = 2 ** 14
const BLOCK_SIZE = 8
const PARALLELIZATION = 1
const SALT_BYTES = 16
const KEY_BYTES = 32

const derive = promisify<string, Buffer, number, object, Buffer>(scrypt)

/** The hash of a password of basic authentication, as `BasicAuth` holds it; another salt each time. */
export async function hashBasicAuthPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES)
  const options = { N: COST, r: BLOCK_SIZE, p: PARALLELIZATION }
  const key = await derive(password, salt, KEY_BYTES, options)
  return `scrypt:${COST}:${salt.toString('base64')}:${key.toString('base64')}`
}

const HASH = /^scrypt:(\d{1,6}):([A-Za-z0-9+/=]{8,128}):([A-Za-z0-9+/=]{8,128})$/
/** A record never makes an edge spend more than this on one try. */
const MOST_COST = 2 ** 16

/** Whether a password fits a hash, on the thread pool. False for a hash of another form. */
export async function fitsBasicAuthHash(hash: string, password: string): Promise<boolean> {
  const [, cost = '', salt = '', key = ''] = HASH.exec(hash) ?? []
  const N = Number(cost)
  const wanted = Buffer.from(key, 'base64')
  if (wanted.length < KEY_BYTES || N > MOST_COST || (N & (N - 1)) !== 0) return false
  const options = { N, r: BLOCK_SIZE, p: PARALLELIZATION, maxmem: 256 * N * BLOCK_SIZE }
  const made = await derive(password, Buffer.from(salt, 'base64'), wanted.length, options)
  return timingSafeEqual(made, wanted)
}
