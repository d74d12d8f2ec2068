import { createPrivateKey, X509Certificate } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { oid, utcTime } from './der.ts'
import { createForge } from './forge.ts'

const forge = createForge()

describe.each(['ecdsa', 'rsa'] as const)('a forged %s certificate', (keyType) => {
  const forged = forge.issue('s1.bench.test', keyType)
  const leaf = new X509Certificate(forged.chainPem)

  test('is what it says', () => {
    expect(leaf.subjectAltName).toBe('DNS:s1.bench.test')
    expect(leaf.serialNumber).toBe(forged.serial)
    expect(leaf.fingerprint256.replaceAll(':', '').toLowerCase()).toBe(forged.fingerprint)
    expect(Date.parse(leaf.validTo)).toBeGreaterThan(Date.now())
  })

  test('is signed by the CA that its chain holds', () => {
    const ca = new X509Certificate(forge.caPem)
    expect(forged.chainPem.endsWith(forge.caPem)).toBe(true)
    expect(ca.ca).toBe(true)
    expect(leaf.checkIssued(ca)).toBe(true)
    expect(leaf.verify(ca.publicKey)).toBe(true)
  })

  test('comes with its key', () => {
    expect(leaf.checkPrivateKey(createPrivateKey(forged.privateKeyPem))).toBe(true)
  })
})

test('no two have the same serial or, with ECDSA, key', () => {
  const many = Array.from({ length: 50 }, () => forge.issue('s2.bench.test'))
  expect(new Set(many.map(({ serial }) => serial)).size).toBe(50)
  expect(new Set(many.map(({ privateKeyPem }) => privateKeyPem)).size).toBe(50)
})

test('DER as the standards write it', () => {
  expect(oid('1.2.840.10045.4.3.2').toString('hex')).toBe('06082a8648ce3d040302')
  expect(utcTime(new Date('2026-11-25T01:02:03.456Z')).subarray(2).toString()).toBe('261125010203Z')
})
