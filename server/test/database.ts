import { randomBytes } from 'node:crypto'
import { inject } from 'vitest'
import { type Db, openDatabase } from '../control/db.ts'
import { onServer } from './global-setup.ts'

/** A migrated database of its own, dropped with `await using`. */
export type TestDatabase = AsyncDisposable & { readonly url: string; readonly db: Db }

/** Clones the migrated template: about 20 ms in memory. Independent of every other suite. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const serverUrl = inject('postgresUrl')
  const name = `test_${randomBytes(8).toString('hex')}`
  await onServer(serverUrl, `create database ${name} template nameplate strategy file_copy`)
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  const db = openDatabase(url.href)
  return {
    url: url.href,
    db,
    async [Symbol.asyncDispose]() {
      await db.$disconnect()
      await onServer(serverUrl, `drop database ${name} with (force)`)
    },
  }
}
