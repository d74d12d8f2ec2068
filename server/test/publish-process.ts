import { openDatabase } from '../control/db.ts'
import { startPublishRig } from './publish-rig.ts'

/** The publishing side of a control plane in a process of its own, so that a test can kill it. Arguments: database, socket. */
const [url = '', socketPath = ''] = process.argv.slice(2)

await startPublishRig({ db: openDatabase(url), url }, socketPath)
process.on('disconnect', () => process.exit(0))
