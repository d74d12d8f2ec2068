import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type BackupRig, createBackupRig, createEmptyPlace, tableTexts } from '../backup-rig.ts'
import { expectSeen } from '../fault-table.ts'
import { freePorts } from '../ports.ts'
import { launch } from '../stack.ts'

/** docs/faults.md, "Backup, restore and a new master key": each command is killed at a step and called again. */
let rig: BackupRig
let file: string
beforeAll(async () => {
  rig = await createBackupRig()
  file = (await rig.backup('backup.tar.zst')).file
})
afterAll(async () => {
  await rig?.[Symbol.asyncDispose]()
})

async function run(command: string, env: NodeJS.ProcessEnv): Promise<{ code: number | null; output: string }> {
  const started = launch(command, { PATH: process.env.PATH, ...env })
  const code = await started.ended
  return { code, output: started.output() }
}

test.each([
  ['restore-part', 'restore.part', false],
  ['restore-blobs', 'restore.blobs', false],
  ['restore-loaded', 'restore.loaded', true],
])('%s', async (id, point, isLoaded) => {
  await using place = await createEmptyPlace()
  const [port = 0] = await freePorts(1)
  const env = {
    DATABASE_URL: place.databaseUrl,
    NAMEPLATE_DATA_DIR: place.dataDir,
    NAMEPLATE_API_LISTEN: `127.0.0.1:${port}`,
  }
  const command = `restore ${file} --master-key ${rig.masterKeyFile}`
  const killed = await run(command, { ...env, FAULT_POINT: point })
  expect(killed.code, killed.output).toBeNull()
  expect((await tableTexts(place.databaseUrl)).has('tenant')).toBe(isLoaded)
  const start = await run('control', env)
  expect(start.code, start.output).toBe(1)
  expectSeen(id, start.output)
  const again = await run(command, env)
  expect(again.code, again.output).toBe(0)
  const [before, after] = [await tableTexts(rig.url), await tableTexts(place.databaseUrl)]
  for (const table of ['certificate_version', 'hostname', 'release'])
    expect(after.get(table)).toEqual(before.get(table))
  expect(existsSync(join(place.dataDir, 'restore.json'))).toBe(false)
})

test.each([
  ['rekey-begun', 'rekey.begun', false],
  ['rekey-switched', 'rekey.switched', false],
  ['rekey-batch', 'rekey.batch', false],
  ['rekey-sealed', 'rekey.sealed', false],
  ['rekey-replaced', 'rekey.replaced', true],
])('%s', async (id, point, isReplaced) => {
  const env = { DATABASE_URL: rig.url, NAMEPLATE_DATA_DIR: rig.folder }
  const oldKey = readFileSync(rig.masterKeyFile)
  const killed = await run('rekey', { ...env, FAULT_POINT: point })
  expect(killed.code, killed.output).toBeNull()
  expect(readFileSync(rig.masterKeyFile).equals(oldKey)).toBe(!isReplaced)
  const again = await run('rekey', env)
  expect(again.code, again.output).toBe(0)
  expectSeen(id, again.output)
  expect(again.output).toContain('Destroy it when you need none of them')
  expect(readFileSync(join(rig.folder, 'master.key.old'))).toEqual(oldKey)
  expect(await rig.db.installation.findFirstOrThrow()).toMatchObject({ nextMasterKeyCheck: null })
})
