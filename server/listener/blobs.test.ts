import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../test/publish-rig.ts'
import { createEdgeBlobs } from './blobs.ts'

const digestOf = (content: Buffer): string => createHash('sha256').update(content).digest('hex')
async function* bytesOf(...chunks: string[]): AsyncGenerator<Buffer> {
  for (const chunk of chunks) yield Buffer.from(chunk)
}
async function* breaking(): AsyncGenerator<Buffer> {
  yield Buffer.from('half')
  throw new Error('the connection broke')
}

const QUARTER_MS = 15 * 60_000

test('a blob appears whole or not at all', async () => {
  await using folder = temporaryFolder()
  const blobs = createEdgeBlobs(folder.path)
  const digest = digestOf(Buffer.from('hello world'))
  await expect(blobs.write(digest, bytesOf('hello', ' there'))).rejects.toThrow(/asked for/)
  await expect(blobs.write(digest, breaking())).rejects.toThrow(/broke/)
  expect(await blobs.has(digest)).toBe(false)
  expect(readdirSync(join(folder.path, 'tmp'))).toEqual([])
  await blobs.write(digest, bytesOf('hello', ' world'))
  await blobs.flush()
  expect(await blobs.has(digest)).toBe(true)
})

test('content is collected when no manifest has needed it for a while, and not before', async () => {
  await using folder = temporaryFolder()
  const blobs = createEdgeBlobs(folder.path)
  const put = async (text: string): Promise<string> => {
    const digest = digestOf(Buffer.from(text))
    await blobs.write(digest, bytesOf(text))
    return digest
  }
  const release = async (text: string): Promise<{ manifest: string; file: string; encoded: string }> => {
    const [file, encoded] = [await put(text), await put(`${text} in br`)]
    const index = { digest: file, bytes: 1, type: 'text/html', encoded: { br: { digest: encoded, bytes: 1 } } }
    const manifest = await put(JSON.stringify({ version: 1, createdAt: 'x', files: { 'index.html': index } }))
    return { manifest, file, encoded }
  }
  const kept = await release('kept')
  const old = await release('old')
  expect(await blobs.collect([kept.manifest], 0)).toBe(0)
  expect(await blobs.collect([kept.manifest, old.manifest], QUARTER_MS)).toBe(0)
  expect(await blobs.collect([kept.manifest], QUARTER_MS + 1)).toBe(0)
  expect(await blobs.collect([kept.manifest], 2 * QUARTER_MS)).toBe(0)
  expect(await blobs.has(old.file)).toBe(true)
  expect(await blobs.collect([kept.manifest], 2 * QUARTER_MS + 1)).toBe(3)
  for (const digest of Object.values(old)) expect(await blobs.has(digest)).toBe(false)
  for (const digest of Object.values(kept)) expect(await blobs.has(digest)).toBe(true)
})

test('while nothing changes, no manifest is read again', async () => {
  await using folder = temporaryFolder()
  const blobs = createEdgeBlobs(folder.path)
  const text = JSON.stringify({ version: 1, createdAt: 'x', files: {} })
  const digest = digestOf(Buffer.from(text))
  await blobs.write(digest, bytesOf(text))
  expect(await blobs.collect([digest], 0)).toBe(0)
  writeFileSync(join(folder.path, digest.slice(0, 2), digest), 'damaged')
  expect(await blobs.collect([digest], 1)).toBe(0)
  await blobs.write(digestOf(Buffer.from('new')), bytesOf('new'))
  await expect(blobs.collect([digest], 2)).rejects.toThrow(/cannot be read/)
})

test('a manifest that cannot be read stops the collection', async () => {
  await using folder = temporaryFolder()
  const blobs = createEdgeBlobs(folder.path)
  const digest = digestOf(Buffer.from('{"version":2}'))
  await blobs.write(digest, bytesOf('{"version":2}'))
  await expect(blobs.manifest(digest)).rejects.toThrow(/cannot be read/)
  await expect(blobs.collect([digest], 0)).rejects.toThrow(/cannot be read/)
})

test('what a killed process left behind is removed, and foreign files are left alone', async () => {
  await using folder = temporaryFolder()
  mkdirSync(join(folder.path, 'tmp'))
  writeFileSync(join(folder.path, 'tmp', 'half'), 'x')
  writeFileSync(join(folder.path, 'note'), 'x')
  const blobs = createEdgeBlobs(folder.path)
  await blobs.clearTemporary()
  await blobs.collect([], 0)
  expect(existsSync(join(folder.path, 'tmp'))).toBe(false)
  expect(existsSync(join(folder.path, 'note'))).toBe(true)
})
