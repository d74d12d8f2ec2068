import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTenantSite, eventually, quietLog, testVault } from '../../test/certificate-rig.ts'
import { createTestDatabase, type TestDatabase } from '../../test/database.ts'
import { addProvider, type DnsParts, makeDnsParts } from '../../test/dns-rig.ts'
import { type NameServers, POWERDNS_KEY, startNameServers, tsigKeys } from '../../test/name-servers.ts'
import { openHints } from '../jobs/hints.ts'
import { cleanUp, startDnsCleanup } from './cleanup.ts'
import { decodeText, types } from './dns-message.ts'
import { persistInstruction } from './persist.ts'
import { DnsProviderError } from './provider.ts'
import type { DnsPresence } from './solver.ts'

let servers: NameServers
let database: TestDatabase
let parts: DnsParts
let tenantId: string

beforeAll(async () => {
  servers = await startNameServers(
    [
      { name: 'bind.test', at: 'bind' },
      { name: 'two.test', at: 'knot', isDoubled: true },
      { name: 'acme.host.test', at: 'knot' },
      {
        name: 'customer.test',
        at: 'bind',
        isReadOnly: true,
        records: [
          '_acme-challenge.power IN CNAME power-customer.power.test.',
          '_acme-challenge.far IN CNAME one.customer.test.',
          'one IN CNAME two.customer.test.',
          'two IN CNAME end.bind.test.',
          '_acme-challenge.loop IN CNAME _acme-challenge.loop2.customer.test.',
          '_acme-challenge.loop2 IN CNAME _acme-challenge.loop.customer.test.',
          '_acme-challenge.nowhere IN CNAME x.unknown-zone.test.',
          '_acme-challenge.www IN CNAME www.customer.test.acme.host.test.',
          '_acme-challenge.thief IN CNAME www.customer.test.acme.host.test.',
        ],
      },
    ],
    { powerdns: true },
  )
  database = await createTestDatabase()
  const { db } = database
  parts = makeDnsParts(db, { servers })
  tenantId = (await createTenantSite(db)).tenantId
  const secret = tsigKeys['acme-key'].secret
  const config = (server: string) => ({ server, keyName: 'acme-key', algorithm: 'hmac-sha256' as const })
  const { bind, knot } = servers.primaries
  await addProvider(db, { tenantId, kind: 'rfc2136', config: config(bind), secret, zones: ['bind.test'] })
  await addProvider(db, { tenantId, kind: 'rfc2136', config: config(knot), secret, zones: ['two.test'] })
  await addProvider(db, {
    tenantId,
    kind: 'powerdns',
    config: { url: servers.powerDnsUrl, serverId: 'localhost' },
    secret: POWERDNS_KEY,
    zones: ['power.test'],
  })
  await addProvider(db, {
    tenantId: null,
    kind: 'rfc2136',
    config: config(knot),
    secret,
    zones: ['acme.host.test'],
  })
}, 60_000)
afterAll(async () => {
  await servers[Symbol.asyncDispose]()
  await database[Symbol.asyncDispose]()
})

const value = (): string => randomBytes(32).toString('base64url')
const txt = async (address: string, name: string): Promise<string[]> => {
  const { answers } = await parts.ask.server(address, name, types.TXT, AbortSignal.timeout(20_000))
  return answers.filter(({ type }) => type === types.TXT).map(({ data }) => decodeText(data))
}
const none = new AbortController().signal
/** One pass of the clean-up in which just these orders are open. */
const sweep = (open: readonly string[] = []): Promise<void> =>
  cleanUp(
    {
      db: database.db,
      records: parts.records,
      log: quietLog(),
      isOrderOpen: async (ids) => new Set(ids.filter((id) => open.includes(id))),
    },
    none,
  )
const codeOf = (work: Promise<DnsPresence>): Promise<string> =>
  work.then(
    ({ state }) => state,
    (error: unknown) => (error instanceof DnsProviderError ? `${error.code}: ${error.message}` : String(error)),
  )
const makeAllDue = () => database.db.dnsRecord.updateMany({ data: { dueAt: new Date(0) } })

describe('covers', () => {
  test.each<[string, boolean]>([
    ['bind.test', true],
    ['*.bind.test', true],
    ['deep.below.bind.test', true],
    ['power.customer.test', true],
    ['*.far.customer.test', true],
    ['www.customer.test', true],
    ['*.www.customer.test', true],
    // The CNAME leads to the name of another hostname in the platform's zone.
    ['thief.customer.test', false],
    ['plain.customer.test', false],
    ['loop.customer.test', false],
    ['nowhere.customer.test', false],
    ['elsewhere.example', false],
  ])('%s: %s', async (name, expected) => {
    expect(await parts.solver.covers(tenantId, name)).toBe(expected)
  })

  test('a provider of one tenant writes for no other, the platform’s for all', async () => {
    const stranger = (await createTenantSite(database.db)).tenantId
    expect(await parts.solver.covers(stranger, 'bind.test')).toBe(false)
    expect(await parts.solver.covers(stranger, 'power.customer.test')).toBe(false)
    expect(await parts.solver.covers(stranger, 'www.customer.test')).toBe(true)
    expect(await parts.solver.delegations(stranger, '*.new.example')).toEqual([
      { type: 'CNAME', name: '_acme-challenge.new.example', value: 'new.example.acme.host.test' },
    ])
    const challenge = { tenantId: stranger, orderId: randomUUID(), name: 'bind.test', value: value() }
    expect(await codeOf(parts.solver.present(challenge))).toMatch(/^zone: no DNS provider controls _acme-challenge/)
    expect(await database.db.dnsRecord.count({ where: { orderId: challenge.orderId } })).toBe(0)
  })
})

test('apex and wildcard stand side by side; when the order has ended both go', async () => {
  const orderId = randomUUID()
  const challenges = ['bind.test', '*.bind.test'].map((name) => ({ tenantId, orderId, name, value: value() }))
  for (const challenge of challenges) expect(await parts.solver.present(challenge)).toEqual({ state: 'propagated' })
  for (const challenge of challenges) expect(await parts.solver.present(challenge)).toEqual({ state: 'propagated' })
  const values = challenges.map((challenge) => challenge.value).toSorted()
  expect((await txt('127.0.0.1', '_acme-challenge.bind.test')).toSorted()).toEqual(values)
  expect(await database.db.dnsRecord.count({ where: { orderId, state: 'present' } })).toBe(2)

  await makeAllDue()
  await sweep([orderId])
  expect(await txt('127.0.0.1', '_acme-challenge.bind.test')).toHaveLength(2)
  await parts.solver.release(orderId)
  await sweep()
  expect(await txt('127.0.0.1', '_acme-challenge.bind.test')).toEqual([])
  expect(await database.db.dnsRecord.count({ where: { orderId } })).toBe(0)
})

test.each([
  ['*.power.customer.test', 'power-customer.power.test', '127.0.0.4'],
  ['far.customer.test', 'end.bind.test', '127.0.0.1'],
  ['www.customer.test', 'www.customer.test.acme.host.test', '127.0.0.2'],
])('%s is written where its CNAMEs lead: %s', async (name, fqdn, address) => {
  const challenge = { tenantId, orderId: randomUUID(), name, value: value() }
  expect(await parts.solver.present(challenge)).toEqual({ state: 'propagated' })
  expect(await txt(address, fqdn)).toEqual([challenge.value])
  await parts.solver.release(challenge.orderId)
  await sweep()
  expect(await txt(address, fqdn)).toEqual([])
})

test.each([
  ['loop.customer.test', /^lookup: .*loop/],
  ['nowhere.customer.test', /^lookup: /],
  ['thief.customer.test', /^zone: .*to which _acme-challenge.thief.customer.test leads/],
])('%s cannot be answered and says why', async (name, expected) => {
  const challenge = { tenantId, orderId: randomUUID(), name, value: value() }
  expect(await codeOf(parts.solver.present(challenge))).toMatch(expected)
})

test('it is propagated when the last server has it, and says which has not', async () => {
  const challenge = { tenantId, orderId: randomUUID(), name: 'two.test', value: value() }
  let last = await parts.solver.present(challenge)
  expect(last).toMatchObject({ state: 'waiting', problem: null })
  for (let tries = 0; tries < 3; tries += 1) last = await parts.solver.present(challenge)
  expect(last).toMatchObject({ state: 'waiting', problem: expect.stringMatching(/not yet answered by ns2.two.test/) })
  const waits = last.state === 'waiting' ? last.retryAfterMs : 0
  expect(waits).toBeGreaterThan(2_000)

  servers.pauseSecondary(true)
  try {
    const paused = await parts.solver.present(challenge)
    expect(paused).toMatchObject({ problem: expect.stringMatching(/no answer from ns2.two.test \(it did not/) })
  } finally {
    servers.pauseSecondary(false)
  }
  await servers.catchUp('two.test')
  const there = await eventually(async () => {
    const presence = await parts.solver.present(challenge)
    return presence.state === 'propagated' && presence
  }, 'the secondary has it')
  expect(there).toEqual({ state: 'propagated' })
  expect(await database.db.dnsRecord.findFirst({ where: { orderId: challenge.orderId } })).toMatchObject({
    failures: 0,
    problem: null,
  })
}, 120_000)

describe('killed in the middle', () => {
  test('before the provider was told: the same call goes on', async () => {
    const challenge = { tenantId, orderId: randomUUID(), name: 'www.bind.test', value: value() }
    const row = await writeRowOnly(challenge)
    expect(await txt('127.0.0.1', '_acme-challenge.www.bind.test')).toEqual([])
    expect(await parts.solver.present(challenge)).toEqual({ state: 'propagated' })
    expect(await database.db.dnsRecord.findUnique({ where: { id: row.id } })).toMatchObject({ state: 'present' })
  })

  test('after the provider was told, before that was written down: it is removed in the end', async () => {
    const challenge = { tenantId, orderId: randomUUID(), name: 'dead.bind.test', value: value() }
    const row = await writeRowOnly(challenge)
    const provider = await database.db.dnsProvider.findUniqueOrThrow({ where: { id: row.providerId } })
    await parts.open(provider).setTxt(row.fqdn, row.value, none)
    await sweep()
    expect(await txt('127.0.0.1', row.fqdn), 'not while the call may still be on its way').toEqual([challenge.value])
    await database.db.dnsRecord.update({ where: { id: row.id }, data: { dueAt: new Date(0) } })
    await sweep()
    expect(await txt('127.0.0.1', row.fqdn)).toEqual([])
    expect(await database.db.dnsRecord.findUnique({ where: { id: row.id } })).toBeNull()
  })

  test('while it was removing: it goes on', async () => {
    const challenge = { tenantId, orderId: randomUUID(), name: 'half.bind.test', value: value() }
    await parts.solver.present(challenge)
    await database.db.dnsRecord.updateMany({
      where: { orderId: challenge.orderId },
      data: { state: 'removing', dueAt: new Date(0) },
    })
    await sweep([challenge.orderId])
    expect(await txt('127.0.0.1', '_acme-challenge.half.bind.test')).toEqual([])
  })

  async function writeRowOnly({ orderId, name, value }: { orderId: string; name: string; value: string }) {
    const provider = await database.db.dnsProvider.findFirstOrThrow({ where: { zones: { has: 'bind.test' } } })
    const fqdn = `_acme-challenge.${name}`
    const dueAt = new Date(Date.now() + 120_000)
    return database.db.dnsRecord.create({
      data: { providerId: provider.id, orderId, hostname: name, fqdn, value, dueAt },
    })
  }
})

test('a value that another order wants too stays until that one has ended', async () => {
  const shared = { tenantId, name: 'shared.bind.test', value: value() }
  const [first, second] = [randomUUID(), randomUUID()]
  await parts.solver.present({ ...shared, orderId: first })
  await parts.solver.present({ ...shared, orderId: second })
  await parts.solver.release(first)
  await sweep([second])
  expect(await txt('127.0.0.1', '_acme-challenge.shared.bind.test')).toEqual([shared.value])
  await parts.solver.release(second)
  await sweep()
  expect(await txt('127.0.0.1', '_acme-challenge.shared.bind.test')).toEqual([])
})

test('a record that somebody else removed is written again', async () => {
  const challenge = { tenantId, orderId: randomUUID(), name: 'lost.bind.test', value: value() }
  await parts.solver.present(challenge)
  const row = await database.db.dnsRecord.findFirstOrThrow({ where: { orderId: challenge.orderId } })
  const provider = await database.db.dnsProvider.findUniqueOrThrow({ where: { id: row.providerId } })
  await parts.open(provider).removeTxt(row.fqdn, row.value, none)
  const states: string[] = []
  for (let tries = 0; tries < 5; tries += 1) states.push((await parts.solver.present(challenge)).state)
  expect(states.slice(0, 3)).toEqual(['waiting', 'waiting', 'waiting'])
  expect(states.at(-1)).toBe('propagated')
})

test('a provider that refuses to delete is asked less and less, told of once, and holds up nobody', async () => {
  const { db } = database
  const owner = (await createTenantSite(db)).tenantId
  const config = { server: servers.primaries.bind, keyName: 'acme-key', algorithm: 'hmac-sha256' as const }
  const { secret } = tsigKeys['acme-key']
  const provider = await addProvider(db, { tenantId: owner, kind: 'rfc2136', config, secret, zones: ['bind.test'] })
  const challenge = { tenantId: owner, orderId: randomUUID(), name: 'stuck.bind.test', value: value() }
  expect(await parts.solver.present(challenge)).toEqual({ state: 'propagated' })
  await db.dnsProvider.update({
    where: { id: provider.id },
    data: { config: { ...config, keyName: 'other' }, secretSealed: sealedOther(provider.id) },
  })
  const waits: number[] = []
  for (let tries = 0; tries < 6; tries += 1) {
    await db.dnsRecord.updateMany({ where: { orderId: challenge.orderId }, data: { dueAt: new Date(0) } })
    const other = { tenantId, orderId: randomUUID(), name: 'quick.bind.test', value: value() }
    expect(await parts.solver.present(other)).toEqual({ state: 'propagated' })
    await parts.solver.release(other.orderId)
    await sweep()
    expect(await db.dnsRecord.count({ where: { orderId: other.orderId } })).toBe(0)
    const row = await db.dnsRecord.findFirstOrThrow({ where: { orderId: challenge.orderId } })
    expect(row).toMatchObject({ state: 'removing', failures: tries + 1 })
    waits.push(Math.round((row.dueAt.getTime() - Date.now()) / 60_000))
  }
  const expected = [1, 10, 100, 1440, 1440, 1440]
  waits.forEach((minutes, index) => {
    expect(minutes / (expected[index] ?? 0)).toBeGreaterThan(0.7)
    expect(minutes / (expected[index] ?? 0)).toBeLessThan(1.3)
  })
  const events = await db.event.findMany({ where: { action: 'dns-record.stuck' } })
  expect(events).toMatchObject([{ tenantId: owner, subjectId: provider.id, detail: { hostname: 'stuck.bind.test' } }])
  expect(JSON.stringify(events, (_, item) => (typeof item === 'bigint' ? '' : item))).not.toContain(secret)

  await db.dnsProvider.update({
    where: { id: provider.id },
    data: { config, secretSealed: provider.secretSealed as Uint8Array<ArrayBuffer> },
  })
  await db.dnsRecord.updateMany({ where: { orderId: challenge.orderId }, data: { dueAt: new Date(0) } })
  await sweep()
  expect(await txt('127.0.0.1', '_acme-challenge.stuck.bind.test')).toEqual([])
})

test('the loop removes what was released, and what nobody released, by itself', async () => {
  const log = quietLog()
  const hints = openHints(database.url, log)
  const { db } = database
  const open = new Set<string>()
  const isOrderOpen = async (ids: readonly string[]) => new Set(ids.filter((id) => open.has(id)))
  const loop = startDnsCleanup({ db, records: parts.records, hints, log, isOrderOpen })
  try {
    const challenges = ['kept', 'released', 'forgotten'].map((label) => {
      return { tenantId, orderId: randomUUID(), name: `${label}.bind.test`, value: value() }
    })
    for (const { orderId } of challenges) open.add(orderId)
    for (const challenge of challenges) await parts.solver.present(challenge)
    const [kept, released, forgotten] = challenges.map(({ orderId }) => orderId)
    open.delete(released ?? '')
    open.delete(forgotten ?? '')
    await parts.solver.release(kept ?? '')
    await parts.solver.release(released ?? '')
    await eventually(async () => (await db.dnsRecord.count({ where: { orderId: released ?? '' } })) === 0, 'released')
    await db.dnsRecord.updateMany({ where: { orderId: forgotten ?? '' }, data: { dueAt: new Date(0) } })
    loop.wake()
    await eventually(async () => (await db.dnsRecord.count({ where: { orderId: forgotten ?? '' } })) === 0, 'forgotten')
    const left = await db.dnsRecord.findMany({ where: { orderId: { in: challenges.map(({ orderId }) => orderId) } } })
    expect(left).toMatchObject([{ orderId: kept, state: 'present', failures: 0 }])
    expect(left[0]?.dueAt.getTime()).toBeGreaterThan(Date.now())
  } finally {
    await loop.stop()
    await hints.close()
  }
}, 60_000)

test('a lasting record is found or not, by a resolver', async () => {
  const { db } = database
  const provider = await db.dnsProvider.findFirstOrThrow({ where: { zones: { has: 'bind.test' }, tenantId } })
  const wanted = { issuerDomains: ['ca.example'], accountUrl: 'https://ca.example/acct/1', isWildcard: false }
  expect(await parts.solver.hasPersistRecord('lasting.bind.test', wanted)).toBe(false)
  const { name, value: text } = persistInstruction('lasting.bind.test', {
    issuerDomain: 'ca.example',
    accountUrl: wanted.accountUrl,
  })
  await parts.open(provider).setTxt(name, text, none)
  await eventually(() => parts.solver.hasPersistRecord('lasting.bind.test', wanted), 'it is found')
  expect(await parts.solver.persistRecord('*.lasting.bind.test', { ...wanted, isWildcard: true })).toEqual({
    state: 'no-wildcard',
  })
})

test('what the platform’s provider says of its insides is not told to a tenant', async () => {
  const { db } = database
  const row = await db.dnsProvider.findFirstOrThrow({ where: { tenantId: null } })
  await db.dnsProvider.update({ where: { id: row.id }, data: { config: { server: '127.0.0.9:1', keyName: 'inner' } } })
  const challenge = { tenantId, orderId: randomUUID(), name: 'www.customer.test', value: value() }
  const said = await codeOf(parts.solver.present(challenge))
  await db.dnsProvider.update({ where: { id: row.id }, data: { config: row.config ?? {} } })
  expect(said).toMatch(/^unreachable: the platform's DNS provider/)
  expect(said).not.toMatch(/127\.0\.0\.9|inner/)
  const kept = await db.dnsRecord.findFirstOrThrow({ where: { orderId: challenge.orderId } })
  expect(kept.problem).toContain('127.0.0.9')
})

function sealedOther(id: string): Uint8Array<ArrayBuffer> {
  return testVault().seal(tsigKeys.other.secret, `dns-provider-secret:${id}`)
}
