import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import { beforeAll, describe, expect, test } from 'vitest'
import { generateSealKeyPair, sealTo } from '../contract/sealing.ts'
import { createTestAuthority, type TestCertificate } from '../test/certificates.ts'
import { createContexts } from './contexts.ts'
import type { EdgeReader } from './edge-store.ts'

const keyPair = generateSealKeyPair()
let first: TestCertificate
let second: TestCertificate

beforeAll(async () => {
  const authority = await createTestAuthority()
  first = await authority.issue(['one.example'])
  second = await authority.issue(['two.example'])
})

/** A store in memory with these certificates, which counts what is asked. */
function storeOf(certificates: readonly TestCertificate[]) {
  const records = new Map<string, unknown>()
  const put = (certificate: TestCertificate, key = certificate.privateKeyPem): void => {
    const { chainPem, names, notAfter, fingerprint } = certificate
    const sealedKey = sealTo(keyPair.publicKey, Buffer.from(key), fingerprint).toString('base64')
    records.set(`certificate ${fingerprint}`, { chainPem, names, notAfter, sealedKey })
  }
  for (const certificate of certificates) put(certificate)
  const asked: string[] = []
  const reader = {
    get: (kind: string, key: string) => {
      asked.push(`${kind} ${key}`)
      return records.get(`${kind} ${key}`) ?? null
    },
  } as Pick<EdgeReader, 'get'>
  return { reader, records, asked, put }
}

function contextsOf(store: ReturnType<typeof storeOf>, capacity = 10) {
  const warnings: string[] = []
  const warn = (fields: { fingerprint: string }): void => void warnings.push(fields.fingerprint)
  return { warnings, contexts: createContexts({ reader: store.reader, keyPair, warn, capacity }) }
}

describe('contexts', () => {
  test('are one per site and certificates: aliases share, sites do not', () => {
    const { contexts } = contextsOf(storeOf([first, second]))
    const one = contexts.of('one', [first.fingerprint])
    expect(one).not.toBeNull()
    expect(contexts.of('one', [first.fingerprint])).toBe(one)
    expect(contexts.of('two', [first.fingerprint])).not.toBe(one)
    expect(contexts.of('one', [second.fingerprint])).not.toBe(one)
    expect(contexts.size).toBe(3)
  })

  test('ask the store once, also where nothing can be used, until the certificate changes', () => {
    const store = storeOf([])
    const { contexts } = contextsOf(store)
    for (let i = 0; i < 3; i += 1) expect(contexts.of('one', [first.fingerprint])).toBeNull()
    expect(store.asked.filter((key) => key.startsWith('certificate'))).toHaveLength(1)
    store.put(first)
    contexts.invalidate([{ kind: 'certificate', key: first.fingerprint }])
    expect(contexts.of('one', [first.fingerprint])).not.toBeNull()
  })

  test('are dropped by their certificate or a new ticket key, and by nothing else', () => {
    const { contexts } = contextsOf(storeOf([first, second]))
    const one = contexts.of('one', [first.fingerprint])
    const two = contexts.of('two', [second.fingerprint])
    contexts.invalidate([
      { kind: 'certificate', key: first.fingerprint },
      { kind: 'site', key: 'two' },
      { kind: 'name', key: 'two.example' },
    ])
    expect(contexts.of('one', [first.fingerprint])).not.toBe(one)
    expect(contexts.of('two', [second.fingerprint])).toBe(two)
    contexts.invalidate([{ kind: 'ticket-key', key: 'current' }])
    expect(contexts.size).toBe(0)
  })

  test('are bounded, the least used goes first', () => {
    const { contexts } = contextsOf(storeOf([first]), 3)
    const kept = contexts.of('a', [first.fingerprint])
    for (const site of ['b', 'c']) contexts.of(site, [first.fingerprint])
    expect(contexts.of('a', [first.fingerprint])).toBe(kept)
    contexts.of('d', [first.fingerprint])
    expect(contexts.size).toBe(3)
    expect(contexts.of('a', [first.fingerprint])).toBe(kept)
  })

  test('of a key that does not fit, does not open or is no key are told and passed over', () => {
    const store = storeOf([second])
    store.put(first, second.privateKeyPem)
    const { contexts, warnings } = contextsOf(store)
    expect(contexts.of('one', [first.fingerprint])).toBeNull()
    expect(contexts.of('one', [first.fingerprint, second.fingerprint])).not.toBeNull()
    store.put(first, 'no key')
    contexts.invalidate([{ kind: 'certificate', key: first.fingerprint }])
    expect(contexts.of('one', [first.fingerprint, second.fingerprint])).not.toBeNull()
    expect(new Set(warnings)).toEqual(new Set([first.fingerprint]))
  })

  test('an evicted one goes on serving the connection that has it', async () => {
    const { contexts } = contextsOf(storeOf([first]), 1)
    const server = net.createServer((socket) => {
      const secureContext = contexts.of('one', [first.fingerprint]) ?? undefined
      const secure = new tls.TLSSocket(socket, { isServer: true, ...(secureContext ? { secureContext } : {}) })
      contexts.of('other', [first.fingerprint])
      secure.on('data', (chunk) => secure.end(chunk))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as net.AddressInfo
    const client = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false })
    const sent = randomBytes(30_000)
    client.write(sent)
    const parts: Buffer[] = []
    for await (const chunk of client) parts.push(chunk as Buffer)
    expect(Buffer.concat(parts).length).toBeGreaterThan(0)
    server.close()
  })
})
