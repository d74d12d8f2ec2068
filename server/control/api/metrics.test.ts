import { expect, test } from 'vitest'
import { createTestDatabase } from '../../test/database.ts'
import { seedInstallation, seedTenant } from '../../test/publish-rig.ts'
import { createControlMetrics } from './metrics.ts'

test('the control plane tells states and ages in numbers, and of no name', async () => {
  await using database = await createTestDatabase()
  await seedInstallation(database.db)
  await seedTenant(database.db, 'told.test')
  const { body } = await createControlMetrics(database.db)()
  expect(body).toMatch(/^nameplate_database_up 1$/m)
  expect(body).toMatch(/^nameplate_feed_revision 0$/m)
  expect(body).toMatch(/^nameplate_feed_waiting [1-9]\d*$/m)
  expect(body).toMatch(/^nameplate_process_resident_bytes\{plane="control"\} [1-9]\d*$/m)
  expect(body).not.toContain('told.test')
})

test('without a database it says so', async () => {
  const database = await createTestDatabase()
  await database[Symbol.asyncDispose]()
  const { body } = await createControlMetrics(database.db)()
  expect(body).toMatch(/^nameplate_database_up 0$/m)
})
