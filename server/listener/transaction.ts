import type { DatabaseSync } from 'node:sqlite'

/** Does `work` as one transaction of a SQLite file; what it throws has changed nothing. */
export function transaction<T>(file: DatabaseSync, work: () => T): T {
  file.exec('begin immediate')
  try {
    const result = work()
    file.exec('commit')
    return result
  } catch (error) {
    // A full disk has rolled it back already.
    if (file.isTransaction) file.exec('rollback')
    throw error
  }
}
