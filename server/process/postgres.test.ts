import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { expect, test } from 'vitest'
import { startPostgres } from './postgres.ts'

async function query(url: string, sql: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return await client.query(sql)
  } finally {
    await client.end()
  }
}

test('data survives kill -9, also below a folder that only its owner may enter', async () => {
  const closed = mkdtempSync(join(tmpdir(), 'nameplate-closed-'))
  chmodSync(closed, 0o700)
  const folder = join(closed, 'data', 'postgres')
  try {
    const first = await startPostgres({ folder })
    await query(first.url, 'create table kept (value int); insert into kept values (42)')
    first.child.kill('SIGKILL')
    await once(first.child, 'exit')
    const second = await startPostgres({ folder })
    expect(second.url).toBe(first.url)
    expect((await query(second.url, 'select value from kept')).rows).toEqual([{ value: 42 }])
    const third = await startPostgres({ folder })
    expect((await query(third.url, 'select value from kept')).rowCount).toBe(1)
    await third.stop()
  } finally {
    rmSync(closed, { recursive: true, force: true })
  }
})

test('its server listens on no port and is not root', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'nameplate-pg-'))
  const server = await startPostgres({ folder })
  try {
    const { rows } = await query(server.url, "select current_setting('listen_addresses') as addresses")
    expect(rows).toEqual([{ addresses: '' }])
  } finally {
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  }
})
