import { createReadStream } from 'node:fs'
import { system } from '../control/auth/access.ts'
import { openDatabase } from '../control/db.ts'
import { createBlobStore } from '../control/sites/blobs.ts'
import { createCompressor } from '../control/sites/compress.ts'
import { createReleaseService } from '../control/sites/release-service.ts'

/** Uploads one archive, as a process of its own that a fault point may kill. */
const [url = '', blobFolder = '', siteId = '', archive = ''] = process.argv.slice(2)

const db = openDatabase(url)
const releases = createReleaseService({
  db,
  blobs: createBlobStore(blobFolder),
  compress: createCompressor(),
})
await releases.create(system, siteId, { body: createReadStream(archive), announcedBytes: null }, true)
await db.$disconnect()
