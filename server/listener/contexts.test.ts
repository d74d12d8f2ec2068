import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import net from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import tls, { type SecureContext } from 'node:tls'
import { beforeAll, describe, expect, test } from 'vitest'
import { generateSealKeyPair, sealTo } from '../contract/sealing.ts'
import { createTestAuthority, type TestCertificate } from '../test/certificates.ts'
import { createContexts } from './contexts.ts'
import type { EdgeReader } from './edge-store.ts'
import { ticketKeysOf, ticketNameOf } from './ticket-secrets.ts'

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

function contextsOf(store: ReturnType<typeof storeOf>, more: { maxBytes?: number; now?: () => number } = {}) {
  const warnings: string[] = []
  const warn = (fields: { fingerprint: string }): void => void warnings.push(fields.fingerprint)
  const contexts = createContexts({ reader: store.reader, keyPair, warn, ...more })
  /** Waits for its turn as a handshake does. */
  const of = (siteId: string, certificates: readonly string[], ticketNames: readonly string[] = []) => {
    const { promise, resolve } = Promise.withResolvers<SecureContext | null>()
    const ask = (): void => {
      const found = contexts.of({ siteId, certificates, ticketNames })
      if (found === 'later') contexts.wait(ask)
      else resolve(found)
    }
    ask()
    return promise
  }
  return { warnings, contexts, of }
}

function ticketKey(key: 'current' | 'previous', secret: Buffer) {
  const sealedSecret = sealTo(keyPair.publicKey, secret, 'ticket-key').toString('base64')
  return [`ticket-key ${key}`, { epoch: 1, sealedSecret }] as const
}

describe('contexts', () => {
  test('are one per site and certificates: aliases share, sites do not', async () => {
    const { contexts, of } = contextsOf(storeOf([first, second]))
    const one = await of('one', [first.fingerprint])
    expect(one).not.toBeNull()
    expect(await of('one', [first.fingerprint])).toBe(one)
    expect(await of('two', [first.fingerprint])).not.toBe(one)
    expect(await of('one', [second.fingerprint])).not.toBe(one)
    expect(contexts.size).toBe(3)
    expect(contexts.use).toEqual({ hits: 1, misses: 3, builds: 3, evictions: 0 })
  })

  test('are built once for a thousand handshakes at once, from one read', async () => {
    const store = storeOf([first])
    const { contexts, of } = contextsOf(store)
    const all = await Promise.all(Array.from({ length: 1_000 }, () => of('one', [first.fingerprint])))
    expect(new Set(all).size).toBe(1)
    expect(contexts.use).toEqual({ hits: 999, misses: 1, builds: 1, evictions: 0 })
    expect(store.asked.filter((key) => key.startsWith('certificate'))).toHaveLength(1)
  })

  test('ask the store once, also where nothing can be used, until the certificate changes', async () => {
    const store = storeOf([])
    const { contexts, of } = contextsOf(store)
    for (let i = 0; i < 3; i += 1) expect(await of('one', [first.fingerprint])).toBeNull()
    expect(store.asked.filter((key) => key.startsWith('certificate'))).toHaveLength(1)
    store.put(first)
    contexts.invalidate([{ kind: 'certificate', key: first.fingerprint }])
    expect(await of('one', [first.fingerprint])).not.toBeNull()
  })

  test('are dropped by their certificate and by nothing else', async () => {
    const { contexts, of } = contextsOf(storeOf([first, second]))
    const one = await of('one', [first.fingerprint])
    const two = await of('two', [second.fingerprint])
    contexts.invalidate([
      { kind: 'certificate', key: first.fingerprint },
      { kind: 'site', key: 'two' },
      { kind: 'name', key: 'two.example' },
    ])
    expect(contexts.size).toBe(1)
    expect(await of('one', [first.fingerprint])).not.toBe(one)
    expect(await of('two', [second.fingerprint])).toBe(two)
  })

  test('are bounded in bytes, the least used goes first', async () => {
    const store = storeOf([first])
    const { contexts: measured, of: build } = contextsOf(store)
    await build('a', [first.fingerprint])
    const { contexts, of } = contextsOf(store, { maxBytes: measured.bytes * 3 + 1 })
    const kept = await of('a', [first.fingerprint])
    for (const site of ['b', 'c']) await of(site, [first.fingerprint])
    expect(await of('a', [first.fingerprint])).toBe(kept)
    await of('d', [first.fingerprint])
    expect(contexts.size).toBe(3)
    expect(contexts.bytes).toBe(measured.bytes * 3)
    expect(await of('a', [first.fingerprint])).toBe(kept)
    expect(contexts.use).toEqual({ hits: 2, misses: 4, builds: 4, evictions: 1 })
    contexts.invalidate([{ kind: 'certificate', key: first.fingerprint }])
    expect(contexts.use.evictions).toBe(1)
  })

  test('of a key that does not fit, does not open or is no key are told once and passed over', async () => {
    const store = storeOf([second])
    store.put(first, second.privateKeyPem)
    const { contexts, of, warnings } = contextsOf(store)
    expect(await of('one', [first.fingerprint])).toBeNull()
    expect(await of('two', [first.fingerprint])).toBeNull()
    expect(warnings).toEqual([first.fingerprint])
    expect(await of('one', [first.fingerprint, second.fingerprint])).not.toBeNull()
    store.put(first, 'no key')
    contexts.invalidate([{ kind: 'certificate', key: first.fingerprint }])
    expect(await of('one', [first.fingerprint, second.fingerprint])).not.toBeNull()
    expect(new Set(warnings)).toEqual(new Set([first.fingerprint]))
  })

  test('are built a few in a turn of the event loop; the others wait, and are served in order', async () => {
    const { contexts, of } = contextsOf(storeOf([first]))
    const order: number[] = []
    const all = Array.from({ length: 40 }, (_, i) => of(`site-${i}`, [first.fingerprint]).then(() => order.push(i)))
    expect(contexts.size).toBeLessThan(10)
    // What is there already is given at once, also while others wait.
    expect(contexts.of({ siteId: 'site-0', certificates: [first.fingerprint] })).not.toBe('later')
    let turns = 0
    let last = contexts.size
    for (; contexts.size < 40; turns += 1) {
      await nextTurn()
      expect(contexts.size - last).toBeLessThan(10)
      last = contexts.size
    }
    expect(turns).toBeGreaterThan(3)
    await Promise.all(all)
    expect(order).toEqual([...order].sort((a, b) => a - b))
  })

  test('an evicted one goes on serving the connection that has it', async () => {
    const { contexts, of } = contextsOf(storeOf([first]), { maxBytes: 1 })
    const evicted = Promise.withResolvers<void>()
    const server = net.createServer((socket) => {
      const found = contexts.of({ siteId: 'one', certificates: [first.fingerprint] })
      if (found === null || found === 'later') throw new Error('the first one is built at once')
      const secure = new tls.TLSSocket(socket, { isServer: true, secureContext: found })
      void of('other', [first.fingerprint]).then(() => evicted.resolve())
      secure.on('data', (chunk) => secure.end(chunk))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as net.AddressInfo
    const client = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false })
    await evicted.promise
    expect(contexts.size).toBe(1)
    const sent = randomBytes(30_000)
    client.write(sent)
    const parts: Buffer[] = []
    for await (const chunk of client) parts.push(chunk as Buffer)
    expect(Buffer.concat(parts).length).toBeGreaterThan(0)
    server.close()
  })
})

describe('an expired certificate', () => {
  const DAY_MS = 86_400_000
  let old: TestCertificate
  let older: TestCertificate

  beforeAll(async () => {
    const authority = await createTestAuthority()
    old = await authority.issue(['one.example'], { notAfter: new Date(Date.now() - DAY_MS) })
    older = await authority.issue(['one.example'], { notAfter: new Date(Date.now() - 2 * DAY_MS) })
  })

  /** Whose certificate a context shows. */
  const shown = async (context: SecureContext | null): Promise<string | null> => {
    if (context === null) return null
    const server = net.createServer((socket) => new tls.TLSSocket(socket, { isServer: true, secureContext: context }))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as net.AddressInfo
    const client = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false })
    await once(client, 'secureConnect')
    const fingerprint = client.getPeerCertificate().fingerprint256.replaceAll(':', '').toLowerCase()
    client.destroy()
    server.close()
    return fingerprint
  }

  test('never goes before one that has not expired', async () => {
    const { of, warnings } = contextsOf(storeOf([old, first]))
    expect(await shown(await of('one', [old.fingerprint, first.fingerprint]))).toBe(first.fingerprint)
    expect(warnings).toEqual([])
  })

  test('is served when there is no other, best first, and warned of once', async () => {
    const { contexts, of, warnings } = contextsOf(storeOf([old, older]))
    expect(await shown(await of('one', [old.fingerprint, older.fingerprint]))).toBe(old.fingerprint)
    contexts.invalidate([{ kind: 'setting', key: 'expiredCertificate' }])
    await of('one', [old.fingerprint, older.fingerprint])
    expect(warnings.sort()).toEqual([old.fingerprint, older.fingerprint].sort())
  })

  test('is not served where the setting says so, until it says otherwise', async () => {
    const store = storeOf([old])
    store.records.set('setting expiredCertificate', { value: 'abort' })
    const { contexts, of, warnings } = contextsOf(store)
    expect(await of('one', [old.fingerprint])).toBeNull()
    expect(warnings).toEqual([old.fingerprint])
    store.records.set('setting expiredCertificate', { value: 'serve' })
    contexts.invalidate([{ kind: 'setting', key: 'expiredCertificate' }])
    expect(await of('one', [old.fingerprint])).not.toBeNull()
  })

  test('that expires while it is in use gives way to the other', async () => {
    let now = Date.parse(first.notAfter) - DAY_MS
    const authority = await createTestAuthority()
    const longer = await authority.issue(['one.example'], { notAfter: new Date(now + 9 * DAY_MS) })
    const { of } = contextsOf(storeOf([first, longer]), { now: () => now })
    expect(await shown(await of('one', [first.fingerprint, longer.fingerprint]))).toBe(first.fingerprint)
    now += 2 * DAY_MS
    expect(await shown(await of('one', [first.fingerprint, longer.fingerprint]))).toBe(longer.fingerprint)
  })
})

describe('a new ticket key', () => {
  test('brings a new context; the one of the epoch before stays for its tickets, and goes with the next', async () => {
    const store = storeOf([first])
    const secrets = [1, 2, 3].map(() => randomBytes(32))
    const rotate = (current: number): void => {
      const [key, record] = ticketKey('current', secrets[current] ?? Buffer.alloc(32))
      store.records.set(key, record)
      const before = secrets[current - 1]
      if (before !== undefined) store.records.set(...ticketKey('previous', before))
    }
    const nameOf = (epoch: number): string =>
      ticketNameOf(ticketKeysOf({ id: '', secret: secrets[epoch] ?? Buffer.alloc(32) }, 'one'))
    rotate(0)
    const { contexts, of } = contextsOf(store)
    const before = await of('one', [first.fingerprint])
    rotate(1)
    contexts.invalidate([
      { kind: 'ticket-key', key: 'current' },
      { kind: 'ticket-key', key: 'previous' },
    ])
    expect(contexts.size).toBe(1)
    const now = await of('one', [first.fingerprint])
    expect(now).not.toBe(before)
    expect(await of('one', [first.fingerprint], [nameOf(1)])).toBe(now)
    expect(await of('one', [first.fingerprint], ['00'.repeat(16), nameOf(0)])).toBe(before)
    // The name of another site's ticket chooses nothing.
    expect(await of('two', [first.fingerprint], [nameOf(0)])).toBe(await of('two', [first.fingerprint]))
    rotate(2)
    contexts.invalidate([{ kind: 'ticket-key', key: 'current' }])
    expect(await of('one', [first.fingerprint], [nameOf(1)])).toBe(now)
    expect(await of('one', [first.fingerprint], [nameOf(0)])).toBe(await of('one', [first.fingerprint]))
  })
})
