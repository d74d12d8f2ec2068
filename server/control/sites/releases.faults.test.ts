import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { zipOf } from '../../test/archives.ts'
import type { TestDatabase } from '../../test/database.ts'
import { createReleaseRig, page, type ReleaseRig } from '../../test/release-rig.ts'
import { mountSmallDisk, writeToFullDevice } from '../../test/small-disk.ts'
import type { BlobStore } from './blobs.ts'
import { collectBlobs } from './collect.ts'

let rig: ReleaseRig
let folder: string
let database: TestDatabase
let blobs: BlobStore
let siteId: string
let upload: ReleaseRig['upload']
let activeManifest: ReleaseRig['activeManifest']
let temporaryFiles: ReleaseRig['temporaryFiles']

beforeEach(async () => {
  rig = await createReleaseRig()
  ;({ folder, database, blobs, siteId, upload, activeManifest, temporaryFiles } = rig)
})
afterEach(() => rig[Symbol.asyncDispose]())

async function blobOf(digest: string): Promise<Buffer> {
  const blob = await blobs.open(digest)
  if (blob === null) throw new Error(`the blob ${digest} is missing`)
  return Buffer.concat(await blob.stream.toArray())
}

const CHILD = fileURLToPath(new URL('../../test/upload-child.ts', import.meta.url))

/** Uploads in a process of its own, which may be killed at a fault point. Gives the signal that ended it. */
async function uploadInChild(archive: Buffer, faultPoint = ''): Promise<string | null> {
  const file = join(folder, 'archive.zip')
  await writeFile(file, archive)
  const child = spawn(process.execPath, [CHILD, database.url, join(folder, 'blobs'), siteId, file], {
    env: { ...process.env, FAULT_POINT: faultPoint },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const [code, signal] = await once(child, 'exit')
  if (signal === null) expect(code).toBe(0)
  return signal
}

test('killed when the content is stored: the old release is served, the upload can be done again', async () => {
  await upload(page('old'))
  expect(await uploadInChild(page('new'), 'release.stored')).toBe('SIGKILL')
  expect(await database.db.release.count()).toBe(1)
  expect(await activeManifest()).toMatchObject({ files: { 'index.html': { bytes: 3 } } })
  const later = new Date(Date.now() + 2 * 3_600_000)
  expect(await collectBlobs({ db: database.db, blobs }, later, new AbortController().signal)).toBe(2)
  blobs.clearTemporary()
  expect(await temporaryFiles()).toEqual([])
  expect(await uploadInChild(page('newer'))).toBe(null)
  expect(await activeManifest()).toMatchObject({ files: { 'index.html': { bytes: 5 } } })
})

test('killed after the activation: the release is there, whole and served', async () => {
  expect(await uploadInChild(page('new'), 'release.activated')).toBe('SIGKILL')
  const { files } = await activeManifest()
  expect((await blobOf(files['index.html']?.digest ?? '')).toString()).toBe('new')
  expect(await database.db.release.findMany()).toMatchObject([{ number: 1 }])
  expect((await upload(page('next'))).body).toMatchObject({ number: 2, isActive: true })
})

test('a full disk: STORAGE_FULL, what was served goes on, and room lets the next upload through', async (context) => {
  await upload(page('old'))
  {
    using disk = mountSmallDisk(join(folder, 'blobs', 'tmp'), 64)
    if (disk === null) {
      await context.annotate('no tmpfs can be mounted here: /dev/full stands for the full disk')
      rig.setStage(async () => ({ ...(await blobs.stage()), add: writeToFullDevice }))
    }
    const unpacksLarge = zipOf([{ name: 'a', content: Buffer.alloc(200_000, 'x') }])
    expect(unpacksLarge.length).toBeLessThan(10_000)
    for (const archive of [unpacksLarge, zipOf([{ name: 'a', content: Buffer.alloc(200_000, 'x'), method: 0 }])]) {
      const refused = await upload(archive)
      expect(refused).toMatchObject({ status: 507, body: { code: 'STORAGE_FULL' } })
      expect(String(refused.body['detail'])).not.toContain(folder)
      expect(await temporaryFiles()).toEqual([])
    }
  }
  rig.setStage(blobs.stage)
  expect(await activeManifest()).toMatchObject({ files: { 'index.html': { bytes: 3 } } })
  expect((await upload(page('newer'))).status).toBe(201)
})
