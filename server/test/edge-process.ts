import { join } from 'node:path'
import { openEdgeStore } from '../listener/edge-store.ts'
import { startLink } from '../listener/link-client.ts'
import { createLog } from '../process/log.ts'

/**
 * An edge in a process of its own, so that a test can kill it at any moment. Arguments: socket,
 * folder, edge id, private and public key (base64). It ends by signals only.
 */
const [socketPath = '', folder = '', edgeId = '', privateKey = '', publicKey = ''] = process.argv.slice(2)

startLink({
  httpsPort: 443,
  socketPath,
  identity: {
    edgeId,
    name: edgeId,
    keyPair: { privateKey: Buffer.from(privateKey, 'base64'), publicKey: Buffer.from(publicKey, 'base64') },
  },
  store: openEdgeStore(folder),
  blobsFolder: join(folder, 'blobs'),
  pool: { invalidate: async () => undefined, status: () => ({ workers: 0, runtime: 'none' }) },
  log: createLog('edge', 'fatal'),
  version: 'test',
})
process.on('disconnect', () => process.exit(0))
