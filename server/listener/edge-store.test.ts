import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import type { ServingRecord } from '../contract/records.ts'
import { temporaryFolder } from '../test/publish-rig.ts'
import { openEdgeReader, openEdgeStore } from './edge-store.ts'

const site = (revision: number, redirectTo: string, key = 's'): ServingRecord<'site'> => ({
  kind: 'site',
  key,
  revision,
  payload: {
    tenantId: 't',
    kind: 'redirect',
    state: 'active',
    manifest: null,
    upstreams: [],
    redirectTo,
    redirectStatus: null,
    isPanel: false,
  },
})
const nothing = { parked: [], refused: [] }

test('a reader sees what was applied, and a delete', async () => {
  await using folder = temporaryFolder()
  const store = openEdgeStore(folder.path)
  const reader = openEdgeReader(folder.path)
  store.apply([site(1, 'a')], 1)
  expect(reader.get('site', 's')?.redirectTo).toBe('a')
  store.apply([{ kind: 'site', key: 's', revision: 2, payload: null }], 2)
  expect(reader.get('site', 's')).toBeNull()
  expect(store.position()).toEqual({ feedId: null, revision: 2 })
  for (const suffix of ['', '-wal', '-shm'])
    expect(statSync(join(folder.path, `records.sqlite${suffix}`)).mode & 0o777).toBe(0o640)
  reader.close()
  store.close()
})

test('a parked record is not served until it is unparked, survives a restart, and a newer one replaces it', async () => {
  await using folder = temporaryFolder()
  const first = openEdgeStore(folder.path)
  first.apply([site(1, 'old')], 1)
  first.apply([], 2, { ...nothing, parked: [site(2, 'new')] })
  expect(first.get('site', 's')?.redirectTo).toBe('old')
  first.close()
  const store = openEdgeStore(folder.path)
  const [parked] = store.parked()
  expect(parked).toEqual(site(2, 'new'))
  store.apply([], 3, { ...nothing, parked: [site(3, 'newest')] })
  expect(store.unpark(site(2, 'new'))).toBe(false)
  expect(store.get('site', 's')?.redirectTo).toBe('old')
  expect(store.unpark(site(3, 'newest'))).toBe(true)
  expect(store.get('site', 's')?.redirectTo).toBe('newest')
  expect([store.parked(), store.parkedKeys(10)]).toEqual([[], []])
  store.close()
})

test('a refusal is kept until another record comes for its key', async () => {
  await using folder = temporaryFolder()
  const store = openEdgeStore(folder.path)
  const refusal = { kind: 'site', key: 's', revision: 2, reason: 'bad' } as const
  store.apply([site(1, 'old')], 1)
  store.apply([], 2, { ...nothing, refused: [refusal] })
  expect(store.refused()).toEqual([refusal])
  expect(store.get('site', 's')?.redirectTo).toBe('old')
  store.apply([site(3, 'new')], 3)
  expect(store.refused()).toEqual([])
  store.close()
})

test('a snapshot sweeps what it did not bring, and nothing that it brought in any form', async () => {
  await using folder = temporaryFolder()
  const store = openEdgeStore(folder.path)
  const all = ['served', 'parked', 'refused', 'gone', 'waiting']
  store.apply(
    all.map((key, index) => site(index + 1, 'old', key)),
    5,
  )
  store.apply([], 6, { ...nothing, parked: [site(6, 'never', 'waiting')] })
  store.beginSnapshot()
  expect(store.position()).toEqual({ feedId: null, revision: 0 })
  const refused = [{ kind: 'site', key: 'refused', revision: 3, reason: 'bad' } as const]
  store.apply([site(1, 'new', 'served')], 3, { parked: [site(2, 'new', 'parked')], refused })
  for (const key of all) expect(store.get('site', key)).not.toBeNull()
  const gone = store.endSnapshot('feed', 9)
  expect(gone.map(({ key }) => key).sort()).toEqual(['gone', 'waiting'])
  expect(store.parked().map(({ key }) => key)).toEqual(['parked'])
  expect(store.get('site', 'parked')).toMatchObject({ redirectTo: 'old' })
  expect(store.get('site', 'refused')).toMatchObject({ redirectTo: 'old' })
  expect(store.position()).toEqual({ feedId: 'feed', revision: 9 })
  store.close()
})

test('what is unparked in the middle of a snapshot that did not bring it is swept all the same', async () => {
  await using folder = temporaryFolder()
  const store = openEdgeStore(folder.path)
  store.apply([], 1, { ...nothing, parked: [site(1, 'x')] })
  store.beginSnapshot()
  expect(store.unpark(site(1, 'x'))).toBe(true)
  expect(store.endSnapshot('feed', 2)).toEqual([{ kind: 'site', key: 's' }])
  store.close()
})

test.each([
  ['is no database', (file: string) => writeFileSync(file, Buffer.alloc(9_000, 'x'))],
  ['has a damaged head', (file: string) => writeFileSync(file, readFileSync(file).fill(0xff, 40, 4_096))],
  [
    'is of another layout',
    (file: string) => {
      const database = new DatabaseSync(file)
      database.exec('pragma user_version = 99')
      database.close()
    },
  ],
])('a file that %s is moved aside, with one word about it', async (_, damage) => {
  await using folder = temporaryFolder()
  const file = join(folder.path, 'records.sqlite')
  const before = openEdgeStore(folder.path)
  before.apply([site(1, 'x')], 1)
  before.close()
  damage(file)
  const told: string[] = []
  const store = openEdgeStore(folder.path, (detail) => told.push(detail))
  expect(told).toHaveLength(1)
  expect(store.position()).toEqual({ feedId: null, revision: 0 })
  store.apply([site(1, 'x')], 1)
  expect(store.get('site', 's')).not.toBeNull()
  expect(existsSync(join(folder.path, 'records.sqlite.damaged'))).toBe(true)
  store.close()
})

test('damage that was met while running is mended by the next start, once', async () => {
  await using folder = temporaryFolder()
  const before = openEdgeStore(folder.path)
  before.apply([site(1, 'x')], 1)
  before.markDamaged()
  before.close()
  const mended = openEdgeStore(folder.path)
  expect(mended.get('site', 's')).toBeNull()
  mended.apply([site(1, 'x')], 1)
  mended.close()
  const store = openEdgeStore(folder.path)
  expect(store.get('site', 's')).not.toBeNull()
  store.close()
})

test('the manifests of served sites are known, parked ones apart', async () => {
  await using folder = temporaryFolder()
  const store = openEdgeStore(folder.path)
  const withManifest = (key: string, manifest: string): ServingRecord<'site'> => {
    const record = site(1, 'x', key)
    return { ...record, payload: { ...(record.payload as NonNullable<typeof record.payload>), manifest } }
  }
  store.apply([withManifest('a', 'm1'), withManifest('b', 'm2'), site(1, 'x', 'c')], 1)
  store.apply([], 2, { ...nothing, parked: [withManifest('a', 'm3')] })
  expect(store.servedManifests().sort()).toEqual(['m1', 'm2'])
  store.close()
})
