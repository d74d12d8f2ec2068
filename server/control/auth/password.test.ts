import { argon2Sync } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { hashPassword, verifyPassword } from './password.ts'
import { createRefreshSecrets } from './refresh-secret.ts'

test('a hash says how it was made, differs each time and fits its password alone', async () => {
  const [one, other] = await Promise.all([hashPassword('pässword one'), hashPassword('pässword one')])
  expect(one).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[\w+/]{22}\$[\w+/]{43}$/)
  expect(one).not.toBe(other)
  expect(await verifyPassword('pässword one', one)).toBe(true)
  expect(await verifyPassword('pa\u0308ssword one', one)).toBe(true)
  expect(await verifyPassword('pässword two', one)).toBe(false)
  expect(await verifyPassword('pässword one', null)).toBe(false)
  expect(await verifyPassword('pässword one', 'no hash')).toBe(false)
})

test('a hash that was made with other parameters is still checked', async () => {
  const parameters = { message: 'password', nonce: Buffer.from('somesalt'), memory: 64, passes: 1, parallelism: 1 }
  const hash = argon2Sync('argon2id', { ...parameters, tagLength: 32 })
  const own = `$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$${hash.toString('base64').replaceAll('=', '')}`
  expect(await verifyPassword('password', own)).toBe(true)
  expect(await verifyPassword('other', own)).toBe(false)
})

test('when too many wait, one more is told to come again', async () => {
  const all = await Promise.allSettled(Array.from({ length: 105 }, () => verifyPassword('x', null)))
  const refused = all.filter((result) => result.status === 'rejected')
  expect(refused).toHaveLength(3)
  expect(refused[0]?.reason).toMatchObject({ code: 'TOO_MANY_REQUESTS' })
  expect(await verifyPassword('x', null)).toBe(false)
})

test('a refresh secret is read back, and no changed one is', () => {
  const secrets = createRefreshSecrets(() => [Buffer.alloc(32, 7)])
  fc.assert(
    fc.property(fc.uuid(), fc.nat(63), fc.integer({ min: 1, max: 63 }), (id, at, step) => {
      const { text, hash } = secrets.make(id)
      expect(secrets.read(text)).toEqual({ sessionId: id, hash })
      const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
      const changed = digits[(digits.indexOf(text.charAt(at)) + step) % 64]
      expect(secrets.read(text.slice(0, at) + changed + text.slice(at + 1))).toBeNull()
      expect(createRefreshSecrets(() => [Buffer.alloc(32, 8)]).read(text)).toBeNull()
    }),
  )
  fc.assert(fc.property(fc.string(), (text) => secrets.read(text) === null))
})
