import { expect, test } from 'vitest'
import {
  certificateInState,
  createTenantSite,
  createVerifiedHostname,
  quietLog,
  startManager,
  startResponder,
  testVault,
  useLocalCa,
} from '../../test/certificate-rig.ts'
import { createTestDatabase } from '../../test/database.ts'
import { startPebble } from '../../test/pebble.ts'
import { issuerSecret } from './issuer-store.ts'
import { seedIssuer } from './seed.ts'

const unset = { acmeCaFile: null, acmeEabKid: null, acmeEabHmacKey: null, acmeEmail: null, acmeProfile: null }
const agreed = { ...unset, acmeTermsAgreed: true }

/** A log that keeps what was warned of. */
function warnings() {
  const texts: string[] = []
  const log = quietLog()
  log.warn = ((text: string) => void texts.push(text)) as typeof log.warn
  return { log, texts }
}

test('without a directory there is one local CA, whatever is started how often', async () => {
  await using database = await createTestDatabase()
  const { db } = database
  await Promise.all([useLocalCa(db), useLocalCa(db)])
  await useLocalCa(db)
  expect(await db.issuer.findMany({ select: { kind: true, name: true } })).toEqual([
    { kind: 'local', name: 'Local CA' },
  ])
})

test('a directory that is down is stored and warned of; a later difference is only a warning', async () => {
  await using database = await createTestDatabase()
  const { db } = database
  const { log, texts } = warnings()
  const seed = (acmeDirectory: string | null, more = {}) =>
    seedIssuer(db, testVault(), { ...agreed, acmeDirectory, ...more }, log, 'test')
  await seed(null)
  await seed('https://127.0.0.1:1/dir', { acmeEmail: 'a@example.test', acmeEabKid: 'kid', acmeEabHmacKey: 'c2VjcmV0' })
  expect(texts.splice(0)).toEqual([expect.stringMatching(/NAMEPLATE_ACME_DIRECTORY cannot be used now .*ECONNREFUSED/)])
  const issuer = await db.issuer.findFirstOrThrow({ where: { kind: 'acme' } })
  expect(issuer).toMatchObject({ directoryUrl: 'https://127.0.0.1:1/dir', email: 'a@example.test', eabKid: 'kid' })
  const opened = testVault().unseal(issuer.eabKeySealed ?? new Uint8Array(), issuerSecret.eabKey(issuer.id))
  expect(opened.toString()).toBe('c2VjcmV0')

  await seed('https://127.0.0.1:2/dir')
  expect(texts.splice(0)).toEqual([expect.stringContaining('NAMEPLATE_ACME_DIRECTORY differs')])
  await seed('https://127.0.0.1:1/dir', { acmeEmail: 'b@example.test' })
  expect(texts.splice(0)).toEqual([expect.stringContaining('NAMEPLATE_ACME_* differs')])
  await seed(null)
  expect(texts).toEqual([])
  expect(await db.issuer.count()).toBe(2)
})

test('a trust root that cannot be read and half a binding name the setting', async () => {
  await using database = await createTestDatabase()
  const acmeDirectory = 'https://127.0.0.1:1/dir'
  const seed = (more: object) =>
    seedIssuer(database.db, testVault(), { ...agreed, acmeDirectory, ...more }, quietLog(), 'test')
  await expect(seed({ acmeCaFile: '/nowhere/ca.pem' })).rejects.toThrow(/^NAMEPLATE_ACME_CA_FILE: /)
  await expect(seed({ acmeCaFile: import.meta.filename })).rejects.toThrow(/NAMEPLATE_ACME_CA_FILE: .* in PEM$/)
  await expect(seed({ acmeEabKid: 'kid' })).rejects.toThrow(/^NAMEPLATE_ACME_EAB_KID and /)
  expect(await database.db.issuer.count()).toBe(0)
})

test('terms are warned of, agreed to by the setting later, and names of the local CA then move over', async () => {
  await using database = await createTestDatabase()
  const { db } = database
  await using responder = await startResponder(db)
  await using pebble = await startPebble({ httpPort: responder.port })
  await useLocalCa(db)
  await createVerifiedHostname(db, await createTenantSite(db), 'seed.acme.test')
  await using manager = startManager(database)
  const local = await certificateInState(db, 'seed.acme.test', 'valid')

  const { log, texts } = warnings()
  const settings = { ...unset, acmeDirectory: pebble.directoryUrl, acmeCaFile: pebble.caFile }
  await seedIssuer(db, testVault(), { ...settings, acmeTermsAgreed: false }, log, 'test')
  expect(texts).toEqual([expect.stringContaining('NAMEPLATE_ACME_TERMS_AGREED=true')])
  manager.wake()
  const failing = await certificateInState(db, 'seed.acme.test', 'failing')
  expect(failing).toMatchObject({ activeVersionId: local.activeVersionId, problem: { code: 'TERMS_NOT_AGREED' } })

  await seedIssuer(db, testVault(), { ...settings, acmeTermsAgreed: true }, log, 'test')
  manager.wake()
  const moved = await certificateInState(db, 'seed.acme.test', 'valid')
  expect(moved.activeVersionId).not.toBe(local.activeVersionId)
})

test('no private key is anywhere in the database, readable', async () => {
  await using database = await createTestDatabase()
  const { db } = database
  await using responder = await startResponder(db)
  await using pebble = await startPebble({ httpPort: responder.port })
  await useLocalCa(db)
  const owner = await createTenantSite(db)
  await createVerifiedHostname(db, owner, 'sealed.acme.test')
  const gate = Promise.withResolvers<boolean>()
  await using manager = startManager(database, { awaitAcked: () => gate.promise })
  await certificateInState(db, 'sealed.acme.test', 'valid')
  const settings = { ...agreed, acmeDirectory: pebble.directoryUrl, acmeCaFile: pebble.caFile }
  await seedIssuer(db, testVault(), settings, quietLog(), 'test')
  await createVerifiedHostname(db, owner, 'open.acme.test')
  manager.wake()
  await certificateInState(db, 'open.acme.test', 'ordering')

  const dump = await dumpOf(db)
  const needle = 'PRIVATE KEY'
  expect(dump).toContain('BEGIN CERTIFICATE')
  expect(dump).not.toContain(needle)
  expect(dump).not.toContain(Buffer.from(needle).toString('hex'))
  expect(dump).not.toContain(Buffer.from(needle).toString('base64').slice(0, 12))
  // The heads of PKCS#8 and SEC 1 P-256 keys in DER, as bytes.
  expect(dump).not.toContain('06072a8648ce3d020106082a8648ce3d030107046d306b0201010420')
  const sealed = await db.order.findFirstOrThrow({ where: { state: { in: ['created', 'pending'] } } })
  expect(testVault().unseal(sealed.keySealed, `order-key:${sealed.id}`).toString()).toContain(needle)
  gate.resolve(true)
  await certificateInState(db, 'open.acme.test', 'valid')
})

async function dumpOf(db: Awaited<ReturnType<typeof createTestDatabase>>['db']): Promise<string> {
  const tables = await db.$queryRaw<{ name: string }[]>`
    select quote_ident(table_name) as name from information_schema.tables where table_schema = 'public'`
  const texts = await Promise.all(
    tables.map(({ name }) =>
      db.$queryRawUnsafe<{ text: string }[]>(`select row_to_json(t)::text as text from ${name} t`),
    ),
  )
  return texts
    .flat()
    .map(({ text }) => text)
    .join('\n')
}
