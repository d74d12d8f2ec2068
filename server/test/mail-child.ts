import { openDatabase } from '../control/db.ts'
import { startMailLoop } from '../control/mail/outbox.ts'
import { createLog } from '../process/log.ts'

/** A sender of the outbox in a process of its own, for tests that kill it. Ends by itself after a minute. */
const [url = '', port = '0'] = process.argv.slice(2)
const account = {
  host: 'localhost',
  port: Number(port),
  security: 'none',
  user: null,
  from: 'panel@example.test',
  replyTo: null,
  password: null,
} as const
startMailLoop({ db: openDatabase(url), log: createLog('test', 'silent'), account: async () => account })
setTimeout(() => process.exit(3), 60_000)
