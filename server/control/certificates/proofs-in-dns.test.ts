import { X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { startAcmeServer } from '../../test/acme-server/server.ts'
import {
  certificateInState,
  createTenantSite,
  createVerifiedHostname,
  eventually,
  quietLog,
  startManager,
  startResponder,
  useAcme,
} from '../../test/certificate-rig.ts'
import { createTestDatabase } from '../../test/database.ts'
import { startTestDns } from '../../test/dns.ts'
import { addProvider, makeDnsParts, platformProviders } from '../../test/dns-rig.ts'
import { startNameServers, tsigKeys } from '../../test/name-servers.ts'
import { startPebble } from '../../test/pebble.ts'
import { cleanUp } from '../dns/cleanup.ts'
import { createDnsProofs } from './dns-proofs.ts'
import { createDoctorIssuers } from './doctor-issuers.ts'
import { openOrders } from './open-orders-store.ts'
import { wakePaused } from './store.ts'

const never = new AbortController().signal

test.each(platformProviders)(
  'a wildcard waits for a provider, then is issued over a CNAME to $what, and nothing is left in DNS',
  async ({ target, of: providerOf }) => {
    await using servers = await startNameServers(
      [
        { name: 'customer.test', at: 'bind', isReadOnly: true, records: [`_acme-challenge IN CNAME ${target}.`] },
        { name: 'two.test', at: 'knot' },
      ],
      { powerdns: true },
    )
    await using pebble = await startPebble({ httpPort: 1, dnsServer: servers.resolver })
    await using database = await createTestDatabase()
    const { db } = database
    await useAcme(db, pebble)
    const { solver, records } = makeDnsParts(db, { servers })
    const dns = createDnsProofs({ db, solver, doctorIssuers: createDoctorIssuers({ db, version: 'test' }) })
    await createVerifiedHostname(db, await createTenantSite(db), '*.customer.test')
    await using manager = startManager(database, { dns })
    const paused = await certificateInState(db, '*.customer.test', 'paused')
    expect(paused.problem).toMatchObject({ code: 'WILDCARD_NEEDS_DNS' })

    await addProvider(db, providerOf(servers))
    await db.$transaction((tx) => wakePaused(tx, null))
    manager.wake()
    // Pebble's resolver may remember for a second that there was nothing.
    await eventually(async () => {
      await db.certificate.updateMany({ where: { state: 'failing', leaseHolder: null }, data: { dueAt: new Date() } })
      manager.wake()
      return (await db.certificate.count({ where: { state: 'valid' } })) === 1
    }, 'issued')
    const row = await certificateInState(db, '*.customer.test', 'valid')
    expect(new X509Certificate(row.activeVersion?.chainPem ?? '').subjectAltName).toBe('DNS:*.customer.test')
    expect(row.problem).toBeNull()
    await eventually(async () => {
      await db.dnsRecord.updateMany({ data: { dueAt: new Date() } })
      await cleanUp({ db, records, log: quietLog(), isOrderOpen: (ids) => openOrders(db, ids) }, never)
      return (await db.dnsRecord.count()) === 0
    }, 'the record is removed')
  },
)

test('a provider that refuses is named, and the same order goes on when its key is right', async () => {
  await using servers = await startNameServers([{ name: 'two.test', at: 'knot' }])
  await using pebble = await startPebble({ httpPort: 1, dnsServer: servers.resolver })
  await using database = await createTestDatabase()
  const { db } = database
  await useAcme(db, pebble)
  const { solver } = makeDnsParts(db, { servers })
  const dns = createDnsProofs({ db, solver, doctorIssuers: createDoctorIssuers({ db, version: 'test' }) })
  const owner = await createTenantSite(db)
  const config = { server: servers.primaries.knot, keyName: 'long-key.example', algorithm: 'hmac-sha512' } as const
  const add = (secret: string) =>
    addProvider(db, { tenantId: owner.tenantId, kind: 'rfc2136', config, secret, zones: ['two.test'] })
  const wrong = await add(Buffer.alloc(64, 1).toString('base64'))
  await createVerifiedHostname(db, owner, '*.two.test')
  await using manager = startManager(database, { dns })
  const failing = await certificateInState(db, '*.two.test', 'failing')
  expect(failing.problem).toMatchObject({ code: 'DNS_PROVIDER' })
  expect(failing.orders.map(({ state }) => state)).toEqual(['pending'])

  await db.dnsProvider.delete({ where: { id: wrong.id } })
  await add(tsigKeys['long-key.example'].secret)
  await eventually(async () => {
    await db.certificate.updateMany({ where: { state: 'failing', leaseHolder: null }, data: { dueAt: new Date() } })
    manager.wake()
    return (await db.certificate.count({ where: { state: 'valid' } })) === 1
  }, 'issued')
  const orders = await db.order.findMany({ where: { state: 'valid' } })
  expect(orders).toHaveLength(1)
})

test('a record that stands in DNS proves a wildcard by dns-persist-01, for this CA and account alone', async () => {
  await using dnsServer = await startTestDns()
  await using database = await createTestDatabase()
  const { db } = database
  await using responder = await startResponder(db)
  await using ca = await startAcmeServer({ httpPort: responder.port, dnsServer: dnsServer.address })
  await useAcme(db, ca)
  dnsServer.set('A', 'first.test', ['127.0.0.1'])
  const port = Number(dnsServer.address.split(':').at(-1))
  const { solver } = makeDnsParts(db, { servers: { resolver: dnsServer.address, port } })
  const dns = createDnsProofs({ db, solver, doctorIssuers: createDoctorIssuers({ db, version: 'test' }) })
  const owner = await createTenantSite(db)
  await createVerifiedHostname(db, owner, 'first.test')
  await createVerifiedHostname(db, owner, '*.lasting.test')
  await using manager = startManager(database, { dns })
  await certificateInState(db, 'first.test', 'valid')
  await certificateInState(db, '*.lasting.test', 'paused')

  const [accountId = ''] = ca.accountIds()
  const record = (account: string) => `ca.test; accounturi=${ca.accountUrl(account)}; policy=wildcard`
  dnsServer.set('TXT', '_validation-persist.lasting.test', [record('somebody-else')])
  await db.$transaction((tx) => wakePaused(tx, null))
  manager.wake()
  await eventually(
    async () =>
      (await db.certificate.count({ where: { state: 'paused', leaseHolder: null, dueAt: { gt: new Date() } } })) === 1,
    'still paused',
  )
  dnsServer.set('TXT', '_validation-persist.lasting.test', [record(accountId)])
  await db.$transaction((tx) => wakePaused(tx, null))
  manager.wake()
  await certificateInState(db, '*.lasting.test', 'valid')
  expect(ca.log.of('validation').map(({ type, name }) => [type, name])).toEqual([
    ['http-01', 'first.test'],
    ['dns-persist-01', 'lasting.test'],
  ])
})

test('the chain to another root is taken only where it is asked for by name', async () => {
  await using database = await createTestDatabase()
  const { db } = database
  await using responder = await startResponder(db)
  await using ca = await startAcmeServer({ httpPort: responder.port })
  const issuerId = await useAcme(db, ca)
  const owner = await createTenantSite(db)
  await createVerifiedHostname(db, owner, 'usual.test')
  await using _manager = startManager(database)
  const rootOf = (chainPem: string) =>
    ca.rootPems.findIndex((pem) => {
      const blocks = chainPem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
      const top = new X509Certificate(blocks.at(-1) ?? '')
      return top.checkIssued(new X509Certificate(pem)) && top.verify(new X509Certificate(pem).publicKey)
    })
  expect(rootOf((await certificateInState(db, 'usual.test', 'valid')).activeVersion?.chainPem ?? '')).toBe(0)
  const preferredChain = /CN=(.*)/.exec(new X509Certificate(ca.rootPems[1]).subject)?.[1] ?? ''
  await db.issuer.update({ where: { id: issuerId }, data: { preferredChain } })
  await createVerifiedHostname(db, owner, 'other.test')
  expect(rootOf((await certificateInState(db, 'other.test', 'valid')).activeVersion?.chainPem ?? '')).toBe(1)
})
