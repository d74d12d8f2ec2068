import { existsSync, readFileSync, statSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { ServingRecord } from '../contract/records.ts'
import { silentLog, temporaryFolder, until } from '../test/publish-rig.ts'
import { type EdgeStore, openEdgeStore, storeFiles } from './edge-store.ts'
import { startStoreCopies } from './store-copies.ts'

const NAMES = 3_000

function fill(store: EdgeStore): void {
  const records = Array.from({ length: NAMES }, (_, at) => ({
    kind: 'name',
    key: `name-${at}.test`,
    revision: 1,
    payload: { siteId: 'site', certificates: ['f'.repeat(64)] },
  }))
  store.apply(records as ServingRecord[], 7)
  store.endSnapshot('feed', 7)
}

/** Every page with names becomes noise; the file can still be opened. */
function damage(file: string): void {
  const bytes = readFileSync(file)
  for (let at = 0; at < bytes.length; at += 4_096)
    if (bytes.subarray(at, at + 4_096).includes('.test')) bytes.fill(0xa5, at, at + 4_096)
  writeFileSync(file, bytes)
}

function copiesOf(folder: string, store: EdgeStore) {
  const found: Error[] = []
  const copies = startStoreCopies({
    folder,
    store,
    log: silentLog,
    firstMs: 1,
    onDamage: (error) => void found.push(error),
  })
  return { copies, found }
}

async function copied(folder: string): Promise<void> {
  const store = openEdgeStore(folder)
  fill(store)
  const { copies } = copiesOf(folder, store)
  await until('there is a copy', () => existsSync(storeFiles(folder).copy))
  await copies.close()
  store.close()
}

test('a damaged file is replaced by its copy, which goes on from its revision', async () => {
  await using folder = temporaryFolder()
  await copied(folder.path)
  const { file, copy } = storeFiles(folder.path)
  damage(file)
  const broken = openEdgeStore(folder.path)
  expect(() => broken.get('name', 'name-1.test')).toThrow()
  broken.markDamaged()
  broken.close()
  const told: string[] = []
  const store = openEdgeStore(folder.path, (detail) => told.push(detail))
  expect(told).toEqual([expect.stringContaining('its copy is served')])
  expect(store.position()).toEqual({ feedId: 'feed', revision: 7 })
  expect(store.namesAfter('', NAMES + 1)).toHaveLength(NAMES)
  expect(statSync(file).mode & 0o777).toBe(0o640)
  expect(existsSync(copy)).toBe(false)
  store.close()
  openEdgeStore(folder.path, (detail) => told.push(detail)).close()
  expect(told).toHaveLength(1)
})

test('a file that is gone is replaced as well, also where a process was killed in between', async () => {
  await using folder = temporaryFolder()
  await copied(folder.path)
  unlinkSync(storeFiles(folder.path).file)
  const store = openEdgeStore(folder.path)
  expect(store.get('name', 'name-1.test')).not.toBeNull()
  store.close()
})

test('a copy that is damaged itself is no copy', async () => {
  await using folder = temporaryFolder()
  await copied(folder.path)
  const { file, copy } = storeFiles(folder.path)
  damage(copy)
  writeFileSync(file, 'no database')
  const told: string[] = []
  const store = openEdgeStore(folder.path, (detail) => told.push(detail))
  expect(told).toEqual([expect.stringContaining('everything is taken anew')])
  expect(store.position()).toEqual({ feedId: null, revision: 0 })
  expect(readFileSync(join(folder.path, 'records.sqlite.damaged'), 'utf8')).toBe('no database')
  store.close()
})

test('a damaged file is not copied: the copy of before stays, and it is told of', async () => {
  await using folder = temporaryFolder()
  await copied(folder.path)
  const { file, copy } = storeFiles(folder.path)
  const before = readFileSync(copy)
  damage(file)
  const store = openEdgeStore(folder.path)
  const { copies, found } = copiesOf(folder.path, store)
  await until('the damage was met', () => found.length > 0)
  await copies.close()
  expect(readFileSync(copy).equals(before)).toBe(true)
  expect(existsSync(`${copy}.new`)).toBe(false)
  store.close()
})

test('whoever suspects a sound file is wrong, and a damaged one is found', async () => {
  await using folder = temporaryFolder()
  const store = openEdgeStore(folder.path)
  fill(store)
  store.beginSnapshot()
  const sound = copiesOf(folder.path, store)
  sound.copies.suspect()
  await sound.copies.close()
  expect(sound.found).toEqual([])
  expect(existsSync(storeFiles(folder.path).copy), 'a copy in mid-snapshot').toBe(false)
  store.close()
  damage(storeFiles(folder.path).file)
  const again = openEdgeStore(folder.path)
  const broken = copiesOf(folder.path, again)
  broken.copies.suspect()
  await until('the damage was met', () => broken.found.length > 0)
  await broken.copies.close()
  again.close()
})
