import { openDatabase } from '../control/db.ts'
import { startManager } from './certificate-rig.ts'

/** A certificate manager in a process of its own, for tests that kill it (`FAULT_POINT`). Ends by itself after a minute. */
const url = process.argv[2] ?? ''
startManager({ url, db: openDatabase(url) })
setTimeout(() => process.exit(3), 60_000)
