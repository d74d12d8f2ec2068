import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { expect, test } from 'vitest'
import { deriveKey, seal, UnsealError } from '../../contract/sealing.ts'
import { type BackupRig, createBackupRig, tableTexts } from '../../test/backup-rig.ts'
import { eventually, quietLog } from '../../test/certificate-rig.ts'
import { certificateKeyContext } from '../certificates/store.ts'
import { isKeyOf, openKeyring } from '../keyring.ts'
import { openVault } from '../open-vault.ts'
import { createVault, MasterKeyError, vaultOf } from '../vault.ts'
import { rekey } from './rekey.ts'
import { ringOf } from './rekey-rows.ts'
import { countOthers } from './reseal.ts'
import { sealedColumns } from './sealed-columns.ts'

const CHILD = fileURLToPath(new URL('../../test/rekey-child.ts', import.meta.url))
const points = ['rekey.begun', 'rekey.switched', 'rekey.batch', 'rekey.sealed', 'rekey.replaced'] as const

function change(rig: BackupRig, more: Partial<Parameters<typeof rekey>[0]> = {}): Promise<{ oldFile: string }> {
  const { url: databaseUrl, masterKeyFile } = rig
  return rekey({ databaseUrl, masterKeyFile, newKeyFile: null, isStartOver: false, say: () => undefined, ...more })
}

async function onRows<T>(rig: BackupRig, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: rig.url })
  await client.connect()
  try {
    return await use(client)
  } finally {
    await client.end()
  }
}

/** What a process that starts with the key at its place opens: every secret of the rig, as text. */
async function allSecrets(rig: BackupRig, masterKeyFile = rig.masterKeyFile): Promise<string[]> {
  const { vault, close } = await openVault({ databaseUrl: rig.url, masterKeyFile, log: quietLog() })
  try {
    const versions = await rig.db.certificateVersion.findMany({ orderBy: { serial: 'asc' } })
    const orders = await rig.db.order.findMany()
    const issuer = await rig.db.issuer.findFirstOrThrow()
    const answer = await rig.db.idempotencyKey.findFirstOrThrow()
    return [
      ...versions.map((row) => vault.unseal(row.keySealed, certificateKeyContext(row.fingerprint)).toString()),
      ...orders.map((row) => vault.unseal(row.keySealed, `order-key:${row.id}`).toString()),
      vault.unseal(issuer.rootKeySealed ?? new Uint8Array(), `issuer-root-key:${issuer.id}`).toString(),
      vault.unseal(Buffer.from(String(answer.body), 'base64'), 'idempotency:user:1:k').toString(),
    ].sort()
  } finally {
    await close()
  }
}

/** Nothing of the rows opens with these keys, as the database is. */
async function opensNothing(rig: BackupRig, oldKey: Buffer, oldRing: ReturnType<typeof vaultOf>[]): Promise<void> {
  await onRows(rig, async (client) => {
    const rows = await ringOf(client)
    expect(() => openKeyring(rows, [oldKey])).toThrow(MasterKeyError)
    expect(isKeyOf(oldKey, rows.masterKeyCheck) || isKeyOf(oldKey, rows.nextMasterKeyCheck)).toBe(false)
  })
  const versions = await rig.db.certificateVersion.findMany()
  for (const vault of [...oldRing, createVault(oldKey), createVault(deriveKey(oldKey, 'wrap'))])
    for (const row of versions)
      expect(() => vault.unseal(row.keySealed, certificateKeyContext(row.fingerprint))).toThrow(UnsealError)
}

test('every sealed column is in the list, and has its guard', async () => {
  await using rig = await createBackupRig()
  await onRows(rig, async (client) => {
    const { rows: columns } = await client.query<{ name: string }>(
      `select table_name || '.' || column_name as name from information_schema.columns
        where table_schema = 'public' and column_name like '%\\_sealed' order by 1`,
    )
    const listed = sealedColumns.map(({ table, column }) => `${table}.${column}`)
    for (const { name } of columns) expect(listed).toContain(name)
    const { rows: guards } = await client.query<{ name: string }>(
      `select tgrelid::regclass::text || '.' || split_part(encode(tgargs, 'escape'), '\\000', 1) as name
        from pg_trigger where tgfoid = 'vault_guard'::regproc`,
    )
    expect(guards.map(({ name }) => name.replaceAll('"', '')).sort()).toEqual([...listed].sort())
  })
})

test('a dump alone yields no key; after the change the old master key opens nothing, and nothing else differs', async () => {
  await using rig = await createBackupRig()
  const oldKey = readFileSync(rig.masterKeyFile)
  const oldRing = await onRows(rig, async (client) => openKeyring(await ringOf(client), [oldKey]))
  const dump = JSON.stringify([...(await tableTexts(rig.url))])
  for (const key of [oldKey, ...oldRing.keys.values()]) expect(dump).not.toContain(Buffer.from(key).toString('hex'))
  expect(dump).not.toMatch(/key 1\b|root key|order 1\b/)
  const before = await allSecrets(rig)
  const marks = await rig.db.feedChange.count()
  const { oldFile } = await change(rig)
  expect(readFileSync(oldFile)).toEqual(oldKey)
  expect(readFileSync(rig.masterKeyFile)).not.toEqual(oldKey)
  expect(existsSync(`${rig.masterKeyFile}.new`)).toBe(false)
  expect(await allSecrets(rig)).toEqual(before)
  await expect(allSecrets(rig, oldFile)).rejects.toThrow(MasterKeyError)
  await opensNothing(rig, oldKey, [vaultOf(() => oldRing)])
  // The ticket secrets are published anew, and nothing else is.
  expect(await rig.db.feedChange.count()).toBe(marks + 2)
  const again = await change(rig)
  expect(await allSecrets(rig)).toEqual(before)
  expect(readFileSync(again.oldFile)).not.toEqual(oldKey)
})

test('a database from before keys had numbers: its secrets open, and are sealed anew', async () => {
  await using rig = await createBackupRig()
  const oldKey = readFileSync(rig.masterKeyFile)
  await rig.db.vaultKey.deleteMany()
  const sealOld = (text: string, context: string) =>
    new Uint8Array(seal(deriveKey(oldKey, 'seal'), Buffer.from(text), context))
  for (const { id, fingerprint } of await rig.db.certificateVersion.findMany())
    await rig.db.certificateVersion.update({
      where: { id },
      data: { keySealed: sealOld(`old ${id}`, certificateKeyContext(fingerprint)) },
    })
  await rig.db.order.deleteMany()
  const issuer = await rig.db.issuer.findFirstOrThrow()
  await rig.db.issuer.updateMany({ data: { rootKeySealed: sealOld('root', `issuer-root-key:${issuer.id}`) } })
  const body = Buffer.from(sealOld('answer', 'idempotency:user:1:k')).toString('base64')
  await rig.db.idempotencyKey.updateMany({ data: { body } })
  const { vault, close } = await openVault({ databaseUrl: rig.url, masterKeyFile: rig.masterKeyFile, log: quietLog() })
  // What was derived from the master key before is derived still: nobody is signed out by the upgrade.
  expect(vault.derive('refresh')).toEqual(deriveKey(oldKey, 'refresh'))
  await close()
  const before = await allSecrets(rig)
  expect(before).toContain('answer')
  await change(rig)
  expect(await allSecrets(rig)).toEqual(before)
  await opensNothing(rig, oldKey, [])
})

test('replicas go on without a restart: what they write during the change opens after it, and old cookies are known', async () => {
  await using rig = await createBackupRig()
  // More machines: one has a copy of the key file that nobody replaces.
  const copy = join(rig.folder, 'copy.key')
  copyFileSync(rig.masterKeyFile, copy)
  const open = (masterKeyFile: string) => openVault({ databaseUrl: rig.url, masterKeyFile, log: quietLog() })
  const replicas = await Promise.all([open(rig.masterKeyFile), open(copy)])
  const [derivedBefore] = replicas.map(({ vault }) => vault.derive('refresh'))
  const ids: string[] = []
  let isDone = false
  const writing = replicas.map(async ({ vault }, index) => {
    const owner = await rig.db.certificate.findFirstOrThrow()
    for (let count = 0; !isDone; count += 1) {
      const id = crypto.randomUUID()
      const keySealed = vault.seal(`written ${index} ${count}`, `order-key:${id}`)
      await sleep(1)
      const { issuerId, names } = owner
      await rig.db.order.create({
        data: { id, certificateId: owner.id, issuerId: issuerId ?? '', names, state: 'valid', keySealed },
      })
      ids.push(id)
      const read = await rig.db.order.findUniqueOrThrow({ where: { id } })
      replicas[1 - index]?.vault.unseal(read.keySealed, `order-key:${id}`)
    }
  })
  await change(rig)
  await sleep(300)
  isDone = true
  await Promise.all(writing)
  expect(ids.length).toBeGreaterThan(20)
  expect(await onRows(rig, (client) => countOthers(client, 2))).toBe(0)
  for (const { vault } of replicas) {
    for (const id of ids) {
      const row = await rig.db.order.findUniqueOrThrow({ where: { id } })
      expect(vault.unseal(row.keySealed, `order-key:${id}`).toString()).toMatch(/^written/)
    }
    expect(vault.derive('refresh')).toEqual(replicas[0]?.vault.derive('refresh'))
    expect(vault.derive('refresh')).not.toEqual(derivedBefore)
    expect(vault.deriveAll('refresh')).toContainEqual(derivedBefore)
    // An access token lives for minutes: it is got anew by the cookie.
    expect(vault.deriveAll('jwt')).toHaveLength(1)
  }
  await Promise.all(replicas.map(({ close }) => close()))
  await expect(open(copy)).rejects.toThrow(MasterKeyError)
})

test('nothing is written under a key that is gone', async () => {
  await using rig = await createBackupRig()
  const oldKey = readFileSync(rig.masterKeyFile)
  const hung = await onRows(rig, async (client) => openKeyring(await ringOf(client), [oldKey]))
  await change(rig)
  const { id, fingerprint } = await rig.db.certificateVersion.findFirstOrThrow()
  const keySealed = vaultOf(() => hung).seal('late', certificateKeyContext(fingerprint))
  await expect(rig.db.certificateVersion.update({ where: { id }, data: { keySealed } })).rejects.toThrow()
  const body = Buffer.from(vaultOf(() => hung).seal('late', 'idempotency:user:1:k')).toString('base64')
  await expect(rig.db.idempotencyKey.updateMany({ data: { body } })).rejects.toThrow()
})

test.each(points)('killed at %s: old and new process open everything, and the next call ends it', async (point) => {
  await using rig = await createBackupRig()
  const before = await allSecrets(rig)
  const oldKey = readFileSync(rig.masterKeyFile)
  const copy = join(rig.folder, 'old-copy.key')
  copyFileSync(rig.masterKeyFile, copy)
  const env = { ...process.env, FAULT_POINT: point }
  const child = spawn(process.execPath, [CHILD, rig.url, rig.masterKeyFile], { env, stdio: 'inherit' })
  const [, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null]
  expect(signal).toBe('SIGKILL')
  expect(await allSecrets(rig)).toEqual(before)
  expect(await allSecrets(rig, copy)).toEqual(before)
  if (point !== 'rekey.replaced') expect(await allSecrets(rig, `${rig.masterKeyFile}.new`)).toEqual(before)
  await change(rig)
  expect(await allSecrets(rig)).toEqual(before)
  await opensNothing(rig, oldKey, [])
  await expect(allSecrets(rig, copy)).rejects.toThrow(MasterKeyError)
  expect(await rig.db.installation.findFirstOrThrow()).toMatchObject({ nextMasterKeyCheck: null })
})

test('a new key that was lost in mid-change: told, and begun with another', async () => {
  await using rig = await createBackupRig()
  const before = await allSecrets(rig)
  const env = { ...process.env, FAULT_POINT: 'rekey.switched' }
  await once(spawn(process.execPath, [CHILD, rig.url, rig.masterKeyFile], { env, stdio: 'inherit' }), 'exit')
  rmSync(`${rig.masterKeyFile}.new`)
  await expect(change(rig)).rejects.toThrow(/--start-over/)
  const named = join(rig.folder, 'named.key')
  writeFileSync(named, Buffer.alloc(32, 5).toString('hex'))
  await expect(change(rig, { newKeyFile: named })).rejects.toThrow(/another key was begun/)
  await change(rig, { newKeyFile: named, isStartOver: true })
  expect(await allSecrets(rig, named)).toEqual(before)
  expect(readFileSync(rig.masterKeyFile)).toEqual(Buffer.alloc(32, 5))
  await expect(change(rig, { newKeyFile: named })).rejects.toThrow(/nothing to do/)
})

test('refuses a wrong key, a second change at once, and a value that does not open', async () => {
  await using rig = await createBackupRig()
  const other = join(rig.folder, 'other.key')
  writeFileSync(other, Buffer.alloc(32, 3))
  await expect(change(rig, { masterKeyFile: other })).rejects.toThrow(MasterKeyError)
  const { id } = await rig.db.certificateVersion.findFirstOrThrow()
  const damaged = rig.vault.seal('x', 'another context')
  await rig.db.certificateVersion.update({ where: { id }, data: { keySealed: damaged } })
  const oldKey = readFileSync(rig.masterKeyFile)
  await expect(change(rig)).rejects.toThrow(new RegExp(`certificate_version ${id}: key_sealed does not open`))
  expect(readFileSync(rig.masterKeyFile)).toEqual(oldKey)
  await rig.db.certificate.updateMany({
    where: { activeVersionId: id },
    data: { activeVersionId: null, state: 'wanted' },
  })
  await rig.db.certificateVersion.delete({ where: { id } })
  const results = await Promise.allSettled([change(rig), change(rig)])
  expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
})

test('waits for a control plane that does not follow', async () => {
  await using rig = await createBackupRig()
  await onRows(rig, async (hung) => {
    await hung.query('select pg_advisory_lock_shared(7283003, 0)')
    let isDone = false
    const changing = change(rig).then(() => (isDone = true))
    await eventually(async () => {
      const rows = await rig.db.vaultKey.findMany()
      return rows.some(({ state }) => state === 'coming')
    }, 'the new key is in the ring')
    await sleep(500)
    expect(isDone).toBe(false)
    expect(await rig.db.vaultKey.findFirst({ where: { state: 'current' } })).toMatchObject({ id: 1 })
    await hung.query('select pg_advisory_unlock_shared(7283003, 0)')
    await changing
  })
})
