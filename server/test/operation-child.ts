import { openDatabase } from '../control/db.ts'
import { testVault } from './certificate-rig.ts'
import { startOperations } from './upload-rig.ts'

/** Child of the kill tests: tells CAs what is wanted until `FAULT_POINT` ends it. */
const [, , url = ''] = process.argv
startOperations({ db: openDatabase(url), url, vault: testVault() })
