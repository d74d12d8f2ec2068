import { expect, test } from 'vitest'
import { deriveKey, generateSealKeyPair, seal, sealTo, UnsealError, unseal, unsealFrom } from './sealing.ts'

const key = Buffer.alloc(32, 7)
const secret = Buffer.from('a private key')

test('what is sealed opens with the same key and context only', () => {
  const sealed = seal(key, secret, 'row:1')
  expect(sealed.includes(secret)).toBe(false)
  expect(unseal(key, sealed, 'row:1')).toEqual(secret)
  expect(() => unseal(key, sealed, 'row:2')).toThrow(UnsealError)
  expect(() => unseal(Buffer.alloc(32, 8), sealed, 'row:1')).toThrow(UnsealError)
})

test('every changed bit is noticed', () => {
  const sealed = seal(key, secret, 'row:1')
  for (let index = 0; index < sealed.length; index += 1) {
    const damaged = Buffer.from(sealed)
    damaged[index] = (damaged[index] ?? 0) ^ 1
    expect(() => unseal(key, damaged, 'row:1')).toThrow(UnsealError)
  }
  expect(() => unseal(key, sealed.subarray(0, 20), 'row:1')).toThrow(UnsealError)
})

test('one edge opens only what was sealed to it', () => {
  const [edge, other] = [generateSealKeyPair(), generateSealKeyPair()]
  const sealed = sealTo(edge.publicKey, secret, 'fingerprint')
  expect(unsealFrom(edge, sealed, 'fingerprint')).toEqual(secret)
  expect(() => unsealFrom(other, sealed, 'fingerprint')).toThrow(UnsealError)
  expect(() => unsealFrom(edge, sealed, 'another')).toThrow(UnsealError)
})

test('each label gives a key of its own, the same every time', () => {
  expect(deriveKey(key, 'jwt')).toEqual(deriveKey(key, 'jwt'))
  expect(deriveKey(key, 'jwt')).not.toEqual(deriveKey(key, 'ticket'))
})
