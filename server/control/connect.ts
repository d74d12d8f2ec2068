import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { OperatorError } from '../process/operator-error.ts'

/** How long a server that is just starting is waited for. */
const PATIENCE_MS = 20_000
const RETRY_MS = 250
const CONNECT_TIMEOUT_MS = 5_000

/** The database of `DATABASE_URL` cannot be used. `message` says what is wrong, without the password. */
export class DatabaseError extends OperatorError {
  override name = 'DatabaseError'
}

/** Reasons that pass by themselves: nobody listens yet, or the server says that it is starting or stopping. */
const passing = new Set(['ECONNREFUSED', 'ECONNRESET', 'ENOENT', '57P03', '57P01', '57P02', '53300'])

/**
 * Waits until the database answers. What cannot pass by itself (a wrong password, no such database,
 * no such host) is told at once. Throws `DatabaseError`.
 */
export async function untilDatabaseAnswers(url: string, patienceMs = PATIENCE_MS): Promise<void> {
  const deadline = Date.now() + patienceMs
  for (;;) {
    const error = await attempt(url)
    if (error === null) return
    if (!passing.has(error.code ?? '') || Date.now() > deadline)
      throw new DatabaseError(explain(url, error), { cause: error })
    await sleep(RETRY_MS)
  }
}

type ConnectionError = Error & { code?: string }

async function attempt(url: string): Promise<ConnectionError | null> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: CONNECT_TIMEOUT_MS })
  client.on('error', () => undefined)
  try {
    await client.connect()
    await client.query('select 1')
    return null
  } catch (error) {
    // Several addresses of one name (localhost) fail together: the first tells enough.
    return error instanceof AggregateError ? (error.errors[0] as ConnectionError) : (error as ConnectionError)
  } finally {
    await client.end().catch(() => undefined)
  }
}

function explain(url: string, error: ConnectionError): string {
  const { hostname, port, pathname, username } = new URL(url)
  const server = `${hostname || 'localhost'}:${port || '5432'}`
  const database = decodeURIComponent(pathname.slice(1))
  switch (error.code) {
    case 'ECONNREFUSED':
      return `DATABASE_URL: no PostgreSQL answers at ${server}: start it, or correct the address`
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `DATABASE_URL: the host name ${hostname} cannot be resolved: correct it`
    case '28P01':
    case '28000':
      return `DATABASE_URL: the server at ${server} refuses the user "${decodeURIComponent(username)}" or the password`
    case '3D000':
      return `DATABASE_URL: there is no database "${database}" at ${server}: create it`
    default:
      return `DATABASE_URL: the database at ${server} cannot be used: ${error.message.split('\n')[0]}`
  }
}
