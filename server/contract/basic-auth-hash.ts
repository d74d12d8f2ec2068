import { randomBytes, scrypt } from 'node:crypto'
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
