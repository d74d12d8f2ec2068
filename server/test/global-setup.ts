import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import type { TestProject } from 'vitest/node'
import { migrate } from '../control/migrate.ts'
import { startPostgres } from '../process/postgres.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** URL of a running server; its database `nameplate` is the migrated template: never connect to it. */
    postgresUrl: string
  }
}

/**
 * One real PostgreSQL for all suites, in memory where /dev/shm is there. Suites clone its migrated
 * database (`createTestDatabase`).
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'nameplate-test-'))
  const settings = ['fsync=off', 'full_page_writes=off', 'synchronous_commit=off', 'max_connections=300']
  const server = await startPostgres({ folder, settings })
  await migrate(server.url)
  project.provide('postgresUrl', server.url)
  return async () => {
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Runs one statement on the server's maintenance database. */
export async function onServer(url: string, sql: string): Promise<void> {
  const admin = new URL(url)
  admin.pathname = '/postgres'
  const client = new pg.Client({ connectionString: admin.href })
  await client.connect()
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}
