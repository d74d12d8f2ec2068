import { openDatabase } from '../control/db.ts'
import { makeDnsParts } from './dns-rig.ts'

/**
 * Presents a challenge in a process of its own, for tests that kill it. Arguments: database URL, resolver,
 * port of the name servers, the challenge as JSON.
 */
const [url = '', resolver = '', port = '', challenge = ''] = process.argv.slice(2)
const db = openDatabase(url)
const { solver } = makeDnsParts(db, { servers: { resolver, port: Number(port) } })
await solver.present(JSON.parse(challenge) as Parameters<typeof solver.present>[0])
process.exit(0)
