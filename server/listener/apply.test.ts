import { expect, test } from 'vitest'
import { MAX_EXCEPTIONS } from '../contract/link.ts'
import type { ServingRecord } from '../contract/records.ts'
import { generateSealKeyPair, sealTo } from '../contract/sealing.ts'
import { temporaryFolder } from '../test/publish-rig.ts'
import { createApplier, type RecordKey } from './apply.ts'
import { type EdgeStore, openEdgeStore } from './edge-store.ts'

const keyPair = generateSealKeyPair()
const fingerprint = 'ab'.repeat(32)

function applierOf(store: EdgeStore, invalidate: (keys: readonly RecordKey[]) => Promise<void>) {
  const pendingReason = (): null => null
  const calls = { onParked: () => undefined, onChange: () => undefined }
  return createApplier({ store, pool: { invalidate }, keyPair, pendingReason, ...calls })
}
const name = (revision: number, key: string, siteId = 's'): ServingRecord => ({
  kind: 'name',
  key,
  revision,
  payload: { siteId, certificates: [] },
})
const certificate = (revision: number): ServingRecord => ({
  kind: 'certificate',
  key: fingerprint,
  revision,
  payload: {
    chainPem: 'chain',
    names: ['a.test'],
    notAfter: 'x',
    sealedKey: sealTo(keyPair.publicKey, Buffer.from('key'), fingerprint).toString('base64'),
  },
})

test('workers drop what changed and nothing else, also when it is sealed anew', async () => {
  await using folder = temporaryFolder()
  const store = openEdgeStore(folder.path)
  const dropped: string[][] = []
  const applier = applierOf(store, async (keys) => void dropped.push(keys.map(({ kind, key }) => `${kind} ${key}`)))
  await applier.apply({ type: 'records', records: [certificate(1), name(2, 'a.test')], revision: 2 })
  await applier.apply({ type: 'records', records: [certificate(3), name(4, 'a.test', 'other')], revision: 4 })
  await applier.apply({ type: 'records', records: [certificate(5)], revision: 5 })
  expect(dropped).toEqual([[`certificate ${fingerprint}`, 'name a.test'], ['name a.test']])
  store.close()
})

test('nothing is confirmed before the workers have dropped it, and what they owe goes with the next', async () => {
  await using folder = temporaryFolder()
  const store = openEdgeStore(folder.path)
  const asked: string[][] = []
  const applier = applierOf(store, async (keys) => {
    asked.push(keys.map(({ key }) => key))
    if (asked.length === 1) throw new Error('a worker is gone')
  })
  await expect(applier.apply({ type: 'records', records: [name(1, 'a.test')], revision: 1 })).rejects.toThrow('gone')
  expect(applier.applied().revision).toBe(0)
  await applier.apply({ type: 'records', records: [name(1, 'a.test')], revision: 1 })
  expect(asked).toEqual([['a.test'], ['a.test']])
  expect(applier.applied().revision).toBe(1)
  store.close()
})

test('records that cannot be used are refused one by one, with the reason', async () => {
  await using folder = temporaryFolder()
  const store = openEdgeStore(folder.path)
  const applier = applierOf(store, async () => undefined)
  const foreign = sealTo(generateSealKeyPair().publicKey, Buffer.from('key'), fingerprint).toString('base64')
  const payload = { chainPem: 'c', names: [], notAfter: 'x', sealedKey: foreign }
  const records = [
    { kind: 'certificate', key: fingerprint, revision: 1, payload },
    { kind: 'name', key: 'bad.test', revision: 2, payload: { siteId: '' } },
    name(3, 'good.test'),
  ] as ServingRecord[]
  await applier.apply({ type: 'records', records, revision: 3 })
  expect(store.get('name', 'good.test')).not.toBeNull()
  const { revision, exceptions } = applier.applied()
  expect(revision).toBe(3)
  expect(exceptions).toMatchObject([
    { kind: 'certificate', key: fingerprint, revision: 1, state: 'refused', reason: expect.stringMatching(/sealed/) },
    { kind: 'name', key: 'bad.test', revision: 2, state: 'refused', reason: expect.stringMatching(/site/) },
  ])
  store.close()
})

test('exceptions that are too many are told by kind', async () => {
  await using folder = temporaryFolder()
  const store = openEdgeStore(folder.path)
  const refused = Array.from({ length: MAX_EXCEPTIONS + 5 }, (_, index) => ({
    kind: 'name' as const,
    key: `n${index}.test`,
    revision: index + 1,
    reason: 'bad',
  }))
  store.apply([], refused.length, { parked: [], refused })
  const { exceptions } = applierOf(store, async () => undefined).applied()
  expect(exceptions).toHaveLength(MAX_EXCEPTIONS)
  expect(exceptions[0]).toMatchObject({ key: 'n0.test', state: 'refused' })
  expect(exceptions.at(-1)).toMatchObject({ kind: 'name', key: '*' })
  store.close()
})
