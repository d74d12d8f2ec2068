import { join } from 'node:path'
import { LockedError, takeLock } from './lock.ts'
import { embeddedDatabaseUrl, startPostgres } from './postgres.ts'
import type { Settings } from './settings.ts'

/**
 * Lends the installation's database to a command: `DATABASE_URL`, the embedded server that runs already, or one that
 * is started for it and stopped after it. With `isAlone` a running one is refused: throws `LockedError`.
 */
export async function withDatabase<T>(
  settings: Pick<Settings, 'dataDir' | 'databaseUrl' | 'user'>,
  options: { readonly isAlone: boolean },
  use: (url: string) => Promise<T>,
): Promise<T> {
  const { dataDir, databaseUrl, user } = settings
  if (databaseUrl !== null) return use(databaseUrl)
  const folder = join(dataDir, 'postgres')
  let release: () => void
  try {
    release = takeLock(dataDir, 'postgres')
  } catch (error) {
    if (options.isAlone || !(error instanceof LockedError)) throw error
    return use(embeddedDatabaseUrl(folder))
  }
  try {
    const server = await startPostgres({ folder, exceptUser: user })
    try {
      return await use(server.url)
    } finally {
      await server.stop()
    }
  } finally {
    release()
  }
}
