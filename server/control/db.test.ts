import { expect, test } from 'vitest'
import { createTestDatabase } from '../test/database.ts'
import { openDatabase } from './db.ts'

test('times mean the same whatever time zone the database is set to', async () => {
  await using database = await createTestDatabase()
  const name = new URL(database.url).pathname.slice(1)
  await database.db.$executeRawUnsafe(`alter database ${name} set timezone = 'America/New_York'`)
  const db = openDatabase(database.url, 1)
  try {
    const at = new Date('2026-07-01T12:00:00.123Z')
    await db.setupLink.create({ data: { hash: Buffer.alloc(32, 1), expiresAt: at } })
    const [row] = await db.$queryRaw<{ same: boolean; recent: boolean }[]>`
      select expires_at = '2026-07-01T12:00:00.123Z' as same, created_at between now() - interval '1 minute' and now() as recent
      from setup_link`
    expect(row).toEqual({ same: true, recent: true })
    expect((await db.setupLink.findFirst())?.expiresAt).toEqual(at)
  } finally {
    await db.$disconnect()
  }
})
