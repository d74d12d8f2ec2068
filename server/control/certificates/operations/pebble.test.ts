import { spawn } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Client } from 'acme-client'
import { expect, test } from 'vitest'
import {
  certificateInState,
  createTenantSite,
  createVerifiedHostname,
  eventually,
  noDns,
  startManager,
  startResponder,
  testVault,
  useAcme,
} from '../../../test/certificate-rig.ts'
import { createTestAuthority } from '../../../test/certificates.ts'
import { createTestDatabase } from '../../../test/database.ts'
import { type Pebble, startPebble } from '../../../test/pebble.ts'
import { startOperations } from '../../../test/upload-rig.ts'
import { system } from '../../auth/access.ts'
import type { Db } from '../../db.ts'
import { type ClientHttp, useTransport } from '../acme-session.ts'
import { createAcmeTransport } from '../acme-transport.ts'
import { IssuerProblem } from '../issuer.ts'
import { issuerSecret } from '../issuer-store.ts'
import { createCertificateService } from '../service.ts'
import { certificateKeyContext } from '../store.ts'
import { createUploadService } from '../uploads/service.ts'
import { createAccountService } from './account-service.ts'
import { createAcmeAdmin } from './acme-admin.ts'
import { keyFingerprint } from './revocation-store.ts'
import { createVersionService } from './service.ts'

const CHILD = fileURLToPath(new URL('../../../test/operation-child.ts', import.meta.url))
const vault = testVault()

/** A database whose issuer is Pebble, with a proven hostname. */
async function createRig(name: string) {
  const stack = new AsyncDisposableStack()
  const database = stack.use(await createTestDatabase())
  const { db, url } = database
  const responder = stack.use(await startResponder(db))
  const pebble = stack.use(await startPebble({ httpPort: responder.port }))
  const issuerId = await useAcme(db, pebble)
  const owner = await createTenantSite(db)
  const hostnameId = await createVerifiedHostname(db, owner, name)
  const { directoryUrl, caPem: trustRootPem } = pebble
  return {
    db,
    url,
    database,
    pebble,
    issuerId,
    hostnameId,
    owner,
    admin: createAcmeAdmin({ directoryUrl, trustRootPem, version: 'test' }),
    versions: createVersionService({ db, dns: noDns }),
    accounts: createAccountService({ db, vault }),
    certificates: createCertificateService({ db, vault, dns: noDns }),
    operations: () => startOperations({ db, url, vault }),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}
type Rig = Awaited<ReturnType<typeof createRig>>

const ended = (rig: Rig, id: string) =>
  eventually(async () => {
    const operation = await rig.certificates.operation(system, id)
    return operation.state !== 'running' && operation
  }, `operation ${id} has ended`)

const keyOf = (version: { keySealed: Uint8Array; fingerprint: string }): string =>
  vault.unseal(version.keySealed, certificateKeyContext(version.fingerprint)).toString()

/** The bare call, without what takes alreadyRevoked for a success. */
async function revokeRaw(pebble: Pebble, accountKey: string, chainPem: string): Promise<void> {
  const { directoryUrl, caPem: trustRootPem } = pebble
  const transport = createAcmeTransport({ trustRootPem, version: 'test' })
  const client = new Client({ directoryUrl, accountKey })
  const { http } = client as unknown as {
    http: ClientHttp & { signedRequest(url: string, body: object): Promise<unknown> }
  }
  const meta = {
    termsOfService: null,
    externalAccountRequired: false,
    profiles: null,
    caaIdentities: [],
    hasRenewalInfo: false,
  }
  const urls = (await transport.request(directoryUrl, 'get')).data as Record<string, unknown>
  useTransport(http, { transport, directory: () => Promise.resolve({ urls, meta }), waits: new WeakMap() })
  const certificate = new X509Certificate(chainPem).raw.toString('base64url')
  await http.signedRequest(await http.getResourceUrl('revokeCert'), { certificate }).finally(transport.close)
}

async function dieAt(databaseUrl: string, point: string): Promise<void> {
  const child = spawn(process.execPath, [CHILD, databaseUrl], {
    env: { ...process.env, FAULT_POINT: point },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const [, signal] = (await once(child, 'exit')) as [number | null, string | null]
  expect(signal).toBe('SIGKILL')
}

/** What passing time does: the dead loop's lease ends. */
async function expireLeases(db: Db): Promise<void> {
  const data = { leaseExpiresAt: new Date(Date.now() - 1_000) }
  expect((await db.operation.updateMany({ where: { leaseExpiresAt: { not: null } }, data })).count).toBe(1)
}

test('key compromise: revoked at the CA, a new key serves at once, the old one is barred for ever', async () => {
  await using rig = await createRig('leaked.acme.test')
  const { db } = rig
  await using _manager = startManager(rig.database)
  const before = await certificateInState(db, 'leaked.acme.test', 'valid')
  const old = before.activeVersion
  if (old === null) throw new Error('no version')
  await using _operations = rig.operations()
  const asked = await rig.versions.revoke(system, before.id, { reason: 'keyCompromise' }, {})
  const again = await rig.versions.revoke(system, before.id, { reason: 'superseded', versionId: old.id }, {})
  expect(again.id).toBe(asked.id)
  expect(await ended(rig, asked.id)).toMatchObject({ state: 'succeeded', result: { certificateId: before.id } })
  expect(await rig.pebble.certificateStatus(old.serial)).toMatchObject({ Status: 'Revoked', Reason: 1 })
  const after = await eventually(async () => {
    const row = await db.certificate.findUniqueOrThrow({ where: { id: before.id }, include: { activeVersion: true } })
    return row.activeVersionId !== old.id && row
  }, 'the successor serves')
  expect(after.state).toBe('valid')
  expect(keyFingerprint(after.activeVersion?.chainPem ?? '')).not.toBe(keyFingerprint(old.chainPem))
  await eventually(
    async () => (await db.certificateVersion.findUniqueOrThrow({ where: { id: old.id } })).revokedAt !== null,
    'the old one is not served',
  )
  expect(await db.barredKey.findMany()).toMatchObject([
    { spkiFingerprint: keyFingerprint(old.chainPem), certificateId: before.id },
  ])
  expect(await db.event.count({ where: { action: 'certificate.revoked' } })).toBe(1)

  await expect(rig.versions.rollback(system, before.id, { versionId: old.id }, {})).rejects.toThrow('revoked')
  const upload = { tenantId: rig.owner.tenantId, certificatePem: old.chainPem, privateKeyPem: keyOf(old) }
  await expect(createUploadService({ db, vault }).create(system, upload, {})).rejects.toThrow(
    /barred for ever.*revoked/s,
  )
})

test('killed after the CA was told, the next loop hears alreadyRevoked and is done; once more by hand is fine too', async () => {
  await using rig = await createRig('killed.acme.test')
  const { db, admin } = rig
  {
    await using _manager = startManager(rig.database)
    await certificateInState(db, 'killed.acme.test', 'valid')
  }
  const certificate = await db.certificate.findFirstOrThrow({ include: { activeVersion: true } })
  const version = certificate.activeVersion
  if (version === null) throw new Error('no version')
  const { id } = await rig.versions.revoke(system, certificate.id, { reason: 'superseded' }, {})
  await dieAt(rig.url, 'revocation.told')
  expect(await rig.pebble.certificateStatus(version.serial)).toMatchObject({ Status: 'Revoked', Reason: 4 })
  expect((await rig.certificates.operation(system, id)).state).toBe('running')
  // It is replaced, not dropped: the old one serves until then.
  expect((await db.certificateVersion.findUniqueOrThrow({ where: { id: version.id } })).revokedAt).toBeNull()
  await expireLeases(db)
  await using _operations = rig.operations()
  expect((await ended(rig, id)).state).toBe('succeeded')
  expect(rig.pebble.log().match(/POST \/revoke-cert/g)).toHaveLength(2)
  await expect(revokeRaw(rig.pebble, keyOf(version), version.chainPem)).rejects.toMatchObject({
    type: 'urn:ietf:params:acme:error:alreadyRevoked',
  })
  await admin.revoke({ keyPem: keyOf(version), url: null }, version.chainPem, 0)
  await using _manager = startManager(rig.database)
  await eventually(
    async () =>
      (await db.certificateVersion.count({ where: { revokedAt: null } })) === 1 &&
      (await db.certificateVersion.count()) === 2,
    'replaced',
  )
})

test('without the account that ordered it, the certificate’s own key revokes it', async () => {
  await using rig = await createRig('orphan.acme.test')
  const { db } = rig
  {
    await using _manager = startManager(rig.database)
    await certificateInState(db, 'orphan.acme.test', 'valid')
  }
  // Another account is the present one: Pebble knows it, and it may not revoke what it did not order.
  await db.acmeAccount.updateMany({ data: { isCurrent: false } })
  await using _manager = startManager(rig.database)
  await createVerifiedHostname(db, rig.owner, 'other.acme.test')
  await certificateInState(db, 'other.acme.test', 'valid')
  const certificate = await certificateInState(db, 'orphan.acme.test', 'valid')
  await using _operations = rig.operations()
  const { id } = await rig.versions.revoke(system, certificate.id, { reason: 'cessationOfOperation' }, {})
  expect((await ended(rig, id)).state).toBe('succeeded')
  expect(await rig.pebble.certificateStatus(certificate.activeVersion?.serial ?? '')).toMatchObject({
    Status: 'Revoked',
    Reason: 5,
  })
})

test('what was bought elsewhere is replaced and served no more, and its owner is told where to revoke it', async () => {
  await using rig = await createRig('bought.acme.test')
  const { db } = rig
  const bought = await (await createTestAuthority()).issue(['bought.acme.test'])
  const input = { tenantId: rig.owner.tenantId, certificatePem: bought.chainPem, privateKeyPem: bought.privateKeyPem }
  const uploaded = await createUploadService({ db, vault }).create(system, { ...input, fallbackToAcme: false }, {})
  await using _operations = rig.operations()
  await using _manager = startManager(rig.database)
  const { id } = await rig.versions.revoke(system, uploaded.id, { reason: 'keyCompromise' }, {})
  expect(await ended(rig, id)).toMatchObject({ state: 'failed', problem: { code: 'REVOKE_AT_YOUR_CA' } })
  await eventually(
    async () => (await db.certificate.findUniqueOrThrow({ where: { id: uploaded.id } })).state === 'revoked',
    'revoked here',
  )
  const hostname = await db.hostname.findUniqueOrThrow({
    where: { id: rig.hostnameId },
    include: { certificate: true },
  })
  expect(hostname.certificate).toMatchObject({ source: 'issued', state: 'valid' })
  expect(await db.barredKey.count()).toBe(1)
})

test('a CA that is down leaves the revocation wanted, and is asked again later', async () => {
  await using rig = await createRig('down.acme.test')
  const { db } = rig
  {
    await using _manager = startManager(rig.database)
    await certificateInState(db, 'down.acme.test', 'valid')
  }
  const certificate = await db.certificate.findFirstOrThrow()
  await rig.pebble.stop()
  await using _operations = rig.operations()
  const { id } = await rig.versions.revoke(system, certificate.id, { reason: 'superseded' }, {})
  const waiting = await eventually(async () => {
    const row = await db.operation.findUniqueOrThrow({ where: { id } })
    return row.failures > 0 && row
  }, 'a first failure')
  expect(waiting).toMatchObject({ state: 'running', problem: { code: 'ISSUER_UNREACHABLE' } })
  expect(waiting.dueAt?.getTime()).toBeGreaterThan(Date.now() + 10_000)
})

test('a roll-over changes the key at the CA while orders go on; killed in between, the next loop finds out which one holds', async () => {
  await using rig = await createRig('first.acme.test')
  const { db, admin } = rig
  const open = (account: { id: string; keySealed: Uint8Array }): string =>
    vault.unseal(account.keySealed, issuerSecret.accountKey(account.id)).toString()
  await using _manager = startManager(rig.database)
  await certificateInState(db, 'first.acme.test', 'valid')
  const before = await db.acmeAccount.findFirstOrThrow()
  const asked = await rig.accounts.rollOver(system, rig.issuerId, {})
  expect((await rig.accounts.rollOver(system, rig.issuerId, {})).id).toBe(asked.id)
  await expect(rig.accounts.deactivate(system, rig.issuerId, {})).rejects.toThrow('under way')
  await dieAt(rig.url, 'account.key-changed')
  // The CA holds the new key already, the row still has both.
  expect(await admin.findAccount(open(before))).toBeNull()
  expect((await db.acmeAccount.findFirstOrThrow()).nextKeySealed).not.toBeNull()
  // The running manager, which has the old key, waits instead of giving the order up.
  await createVerifiedHostname(db, rig.owner, 'between.acme.test')
  const between = await eventually(async () => {
    const row = await db.certificate.findFirst({ where: { names: { has: 'between.acme.test' } } })
    return row?.problem != null && row
  }, 'the order waits')
  expect(between.problem).toMatchObject({ code: 'ISSUER_UNREACHABLE' })
  await expireLeases(db)
  {
    await using _operations = rig.operations()
    expect((await ended(rig, asked.id)).state).toBe('succeeded')
  }
  const after = await db.acmeAccount.findFirstOrThrow()
  expect(after).toMatchObject({ id: before.id, url: before.url, nextKeySealed: null })
  expect(open(after)).not.toBe(open(before))
  expect(await admin.findAccount(open(after))).toBe(before.url)
  await db.certificate.update({ where: { id: between.id }, data: { dueAt: new Date() } })
  await certificateInState(db, 'between.acme.test', 'valid')
  expect(await db.acmeAccount.count()).toBe(1)
  expect(await db.event.count({ where: { action: 'issuer.rolled-over' } })).toBe(1)
})

test('a deactivated account is refused by the CA, and the issuer is disabled; done twice it is the same', async () => {
  await using rig = await createRig('end.acme.test')
  const { db, admin } = rig
  await expect(rig.accounts.deactivate(system, rig.issuerId, {})).rejects.toThrow('no account')
  {
    await using _manager = startManager(rig.database)
    await certificateInState(db, 'end.acme.test', 'valid')
  }
  const account = await db.acmeAccount.findFirstOrThrow()
  const keyPem = vault.unseal(account.keySealed, issuerSecret.accountKey(account.id)).toString()
  await admin.deactivate({ keyPem, url: account.url ?? '' })
  await using _operations = rig.operations()
  const { id } = await rig.accounts.deactivate(system, rig.issuerId, {})
  expect(await ended(rig, id)).toMatchObject({ state: 'succeeded', result: { issuerId: rig.issuerId } })
  expect(await db.issuer.findUniqueOrThrow({ where: { id: rig.issuerId } })).toMatchObject({ isEnabled: false })
  expect((await db.acmeAccount.findFirstOrThrow()).isCurrent).toBe(false)
  const refused = await admin.changeKey({ keyPem, url: account.url ?? '' }, keyPem).catch((error: unknown) => error)
  expect(refused).toBeInstanceOf(IssuerProblem)
})
