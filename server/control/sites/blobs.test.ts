import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, rm, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { mountSmallDisk, writeToFullDevice } from '../../test/small-disk.ts'
import { createBlobStore } from './blobs.ts'

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nameplate-blobs-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const sha256 = (content: Buffer): string => createHash('sha256').update(content).digest('hex')

/** Every file below a folder. */
async function filesIn(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => entry.name)
}

async function contentOf(store: ReturnType<typeof createBlobStore>, digest: string): Promise<Buffer | null> {
  const blob = await store.open(digest)
  return blob === null ? null : Buffer.concat(await blob.stream.toArray())
}

test('what is put can be read by its digest, the same twice is one blob', async () => {
  const store = createBlobStore(folder)
  const content = randomBytes(300_000)
  const ref = await store.put(Readable.from([content.subarray(0, 100_000), content.subarray(100_000)]))
  expect(ref).toEqual({ digest: sha256(content), bytes: content.length })
  expect(await store.put(Readable.from([content]))).toEqual(ref)
  expect(await contentOf(store, ref.digest)).toEqual(content)
  expect(await filesIn(folder)).toEqual([ref.digest])
  const empty = await store.put(Readable.from([]))
  expect(await contentOf(store, empty.digest)).toEqual(Buffer.alloc(0))
})

test('many at once, the same content among them', async () => {
  const store = createBlobStore(folder)
  const contents = Array.from({ length: 40 }, (_, n) => Buffer.from(`content ${n % 10}`))
  const refs = await Promise.all(contents.map((content) => store.put(Readable.from([content]))))
  expect(refs.map((ref) => ref.digest)).toEqual(contents.map(sha256))
  expect(await filesIn(folder)).toHaveLength(10)
})

test('a digest that is none leads nowhere', async () => {
  const store = createBlobStore(folder)
  for (const digest of ['../../etc/passwd', '', 'A'.repeat(64), `${'a'.repeat(64)}/..`, 'f'.repeat(64)]) {
    expect(await store.open(digest)).toBe(null)
    expect(await store.has(digest)).toBe(false)
    expect(await store.touch(digest)).toBe(false)
  }
})

test('a source that fails leaves nothing behind', async () => {
  const store = createBlobStore(folder)
  async function* source(): AsyncGenerator<Buffer> {
    yield Buffer.from('half')
    throw new Error('the sender went away')
  }
  await expect(store.put(source())).rejects.toThrow('the sender went away')
  expect(await filesIn(folder)).toEqual([])
})

test('nothing staged can be seen before the commit, and nothing is left without one', async () => {
  const store = createBlobStore(folder)
  {
    await using staging = await store.stage()
    const ref = await staging.add(Readable.from(['one']))
    expect(await staging.read(ref)).toEqual(Buffer.from('one'))
    expect(await store.has(ref.digest)).toBe(false)
  }
  expect(await filesIn(folder)).toEqual([])
  {
    await using staging = await store.stage()
    const ref = await staging.add(Readable.from(['one']))
    await staging.commit()
    expect(await staging.read(ref)).toEqual(Buffer.from('one'))
  }
  expect(await filesIn(folder)).toEqual([sha256(Buffer.from('one'))])
})

test('what a killed process left goes at the start', async () => {
  const store = createBlobStore(folder)
  const staging = await store.stage()
  await staging.add(Readable.from(['left over']))
  createBlobStore(folder).clearTemporary()
  expect(await filesIn(folder)).toEqual([])
  const ref = await createBlobStore(folder).put(Readable.from(['works on']))
  expect(await store.has(ref.digest)).toBe(true)
})

test('the sweep takes what is old and not kept, and nothing that was touched', async () => {
  const store = createBlobStore(folder)
  const [kept, old, young, touched] = await Promise.all(
    ['kept', 'old', 'young', 'touched'].map((text) => store.put(Readable.from([text]))),
  )
  if (!kept || !old || !young || !touched) throw new Error('four blobs')
  const yesterday = new Date(Date.now() - 86_400_000)
  for (const { digest } of [kept, old, touched]) {
    await utimes(join(folder, digest.slice(0, 2), digest), yesterday, yesterday)
  }
  expect(await store.touch(touched.digest)).toBe(true)
  const hourAgo = new Date(Date.now() - 3_600_000)
  expect(await store.sweep((digest) => digest === kept.digest, hourAgo)).toBe(1)
  expect((await filesIn(folder)).sort()).toEqual([kept, young, touched].map((ref) => ref.digest).sort())
})

test('a full disk is STORAGE_FULL and leaves nothing half-done', async (context) => {
  using disk = mountSmallDisk(folder, 1024)
  const store = createBlobStore(folder)
  const small = await store.put(Readable.from([randomBytes(1000)]))
  async function* endless(): AsyncGenerator<Buffer> {
    if (disk === null) await writeToFullDevice()
    for (;;) yield randomBytes(100_000)
  }
  if (disk === null) await context.annotate('no tmpfs can be mounted here: /dev/full stands for the full disk')
  await expect(store.put(endless())).rejects.toMatchObject({ code: 'STORAGE_FULL' })
  expect(await filesIn(folder)).toEqual([small.digest])
  await store.put(Readable.from([randomBytes(100_000)]))
})
