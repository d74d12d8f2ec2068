import { randomUUIDv7 } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type AcmeServer, startAcmeServer } from '../../test/acme-server/server.ts'
import { createDomainRig, type DomainRig } from '../../test/domains.ts'
import { createDoctorIssuers } from './doctor-issuers.ts'
import { createPreflight } from './preflight.ts'

let rig: DomainRig
let ca: AcmeServer
beforeAll(async () => {
  rig = await createDomainRig()
  ca = await startAcmeServer({ caaIdentities: ['ca.test'] })
})
afterAll(async () => {
  await rig[Symbol.asyncDispose]()
  await ca[Symbol.asyncDispose]()
})

const methods = ['http-01'] as const
const issuer = (name: string, more: object = {}) =>
  rig.api.db.issuer.create({
    data: { name, kind: 'acme', directoryUrl: ca.directoryUrl, trustRootPem: ca.caPem, ...more },
  })

describe('issuers for the doctor', () => {
  test('are the enabled ACME ones in order, with what their directories and accounts say', async () => {
    const second = await issuer('second', { priority: 20 })
    const first = await issuer('first', { priority: 10 })
    await issuer('off', { isEnabled: false })
    await rig.api.db.issuer.create({
      data: { name: 'local', kind: 'local', rootPem: 'root', rootKeySealed: new Uint8Array(1) },
    })
    await rig.api.db.acmeAccount.create({
      data: { id: randomUUIDv7(), issuerId: first.id, keySealed: new Uint8Array(1), url: 'https://ca.test/acct/1' },
    })
    let now = Date.now()
    const read = createDoctorIssuers({ db: rig.api.db, version: 'test', now: () => now })
    const found = await read(methods)
    expect(found).toEqual([
      { id: first.id, name: 'first', caaIdentities: ['ca.test'], accountUrl: 'https://ca.test/acct/1', methods },
      { id: second.id, name: 'second', caaIdentities: ['ca.test'], accountUrl: null, methods },
    ])
    // Kept for an hour, so that a CA that is down for less is not missed.
    await ca.stop()
    now += 3_599_000
    expect((await read(methods))[0]?.caaIdentities).toEqual(['ca.test'])
    now += 2_000
    expect((await read(methods))[0]?.caaIdentities).toBeNull()
    await ca.start()
  })

  test('a CA that is down says nothing, and is asked again after a minute', async () => {
    const row = await issuer('down')
    let now = Date.now()
    const read = createDoctorIssuers({ db: rig.api.db, version: 'test', now: () => now })
    const identities = async () => (await read(methods)).find(({ id }) => id === row.id)?.caaIdentities
    await ca.stop()
    expect(await identities()).toBeNull()
    await ca.start()
    expect(await identities()).toBeNull()
    now += 60_001
    expect(await identities()).toEqual(['ca.test'])
  })
})

describe('the look before a first order', () => {
  test('is about this issuer, says what to change, and whether another may do', async () => {
    const row = await issuer('asked')
    const doctorIssuers = createDoctorIssuers({ db: rig.api.db, version: 'test' })
    let provesByDns = false
    const preflight = createPreflight({ doctor: rig.doctor, doctorIssuers, provesByDns: async () => provesByDns })
    rig.targets.publicAddresses.splice(0, 9, '192.0.2.1')
    const { id } = await rig.add('asked.test')
    const look = () => preflight(id, row.id, new AbortController().signal)
    rig.dns.set('A', 'asked.test', ['192.0.2.1'])
    expect(await look()).toBeNull()
    rig.dns.set('A', 'asked.test', ['198.51.100.1'])
    expect(await look()).toEqual({
      code: 'ADDRESS_V4',
      detail: expect.stringContaining('Create the record "asked.test. A 192.0.2.1".'),
      isIssuersRefusal: false,
    })
    provesByDns = true
    expect(await look()).toBeNull()
    rig.dns.set('CAA', 'asked.test', ['0 issue other.test'])
    expect(await look()).toMatchObject({ code: 'CAA_FORBIDS', isIssuersRefusal: true })
    expect(await preflight(id, rig.sites.own, new AbortController().signal)).toBeNull()
  })
})
