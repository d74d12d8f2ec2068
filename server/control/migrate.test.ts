import { expect, test } from 'vitest'
import { createTestDatabase } from '../test/database.ts'
import { migrate } from './migrate.ts'

test('a migrated database has nothing left to apply, and two that start together agree', async () => {
  await using database = await createTestDatabase()
  expect(await Promise.all([migrate(database.url), migrate(database.url)])).toEqual([[], []])
})

test('a changed migration and a newer database are refused with what to do', async () => {
  await using database = await createTestDatabase()
  await database.db.$executeRaw`update schema_migration set checksum = 'other' where name like '%init'`
  await expect(migrate(database.url)).rejects.toThrow(/was changed after it had been applied/)
  await database.db.$executeRaw`update schema_migration set name = 'from-the-future' where name like '%init'`
  await expect(migrate(database.url)).rejects.toThrow(/newer than this version/)
})
