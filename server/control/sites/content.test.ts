import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { zipOf } from '../../test/archives.ts'
import { createBlobStore } from './blobs.ts'
import { createCompressor } from './compress.ts'
import { prepareContent } from './content.ts'

test('a release whose manifest no edge would read is refused', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'nameplate-content-'))
  try {
    const blobs = createBlobStore(join(folder, 'blobs'))
    const archive = join(folder, 'archive')
    const entries = Array.from({ length: 15_500 }, (_, index) => ({ name: `${index}-${'x'.repeat(1_000)}`, method: 0 }))
    await writeFile(archive, zipOf(entries))
    await using staging = await blobs.stage()
    const signal = new AbortController().signal
    const options = { staging, blobs, compress: createCompressor(), maxBytes: 1_000_000, previous: null, signal }
    await expect(prepareContent(archive, { ...options, now: new Date() })).rejects.toMatchObject({
      code: 'ARCHIVE_REFUSED',
      detail: expect.stringContaining('too long together'),
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})
