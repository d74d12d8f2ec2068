import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { expect, test } from 'vitest'
import { launcher, startPostgres } from './postgres.ts'
import { socketFolder } from './postgres-account.ts'

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

test('a program below a folder that only root may enter is found by its account', async () => {
  const closed = mkdtempSync(join(tmpdir(), 'nameplate-closed-'))
  try {
    chmodSync(closed, 0o700)
    const program = join(closed, 'program')
    writeFileSync(program, '#!/bin/sh\n', { mode: 0o755 })
    const account = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : null
    const [command = 'test', ...args] = [
      ...(await launcher(account, [program])),
      'test',
      '-r',
      program,
      '-a',
      '-x',
      program,
    ]
    expect(() => execFileSync(command, args)).not.toThrow()
  } finally {
    rmSync(closed, { recursive: true })
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

/** A folder so deep that the socket cannot be in it, and where the socket's own folder then is. */
function deepFolder(parent: string): { folder: string; sockets: string } {
  const folder = join(parent, 'd'.repeat(100))
  return { folder, sockets: socketFolder(folder) }
}

test('the socket is beside the data, where nobody else can have made a folder first', () => {
  expect(socketFolder('/var/lib/nameplate/postgres')).toBe('/var/lib/nameplate/postgres')
  for (const path of [`/${'d'.repeat(100)}`, '/srv/a,b', '/srv/"x"'])
    expect(socketFolder(path)).toMatch(/^[\w/.-]{1,85}$/)
})

test('a data directory that is too deep for a socket works; another user who made the folder first is refused', async () => {
  const parent = mkdtempSync(join(tmpdir(), 'nameplate-pg-'))
  const { folder, sockets } = deepFolder(parent)
  try {
    mkdirSync(sockets, { mode: 0o777 })
    chmodSync(sockets, 0o777)
    await expect(startPostgres({ folder })).rejects.toThrow(sockets)
    rmSync(sockets, { recursive: true })
    symlinkSync(parent, sockets)
    const before = statSync(parent).uid
    await expect(startPostgres({ folder })).rejects.toThrow(sockets)
    expect(statSync(parent).uid).toBe(before)
    rmSync(sockets)
    const server = await startPostgres({ folder })
    expect((await query(server.url, 'select 1 as one')).rows).toEqual([{ one: 1 }])
    await server.stop()
    await (await startPostgres({ folder })).stop()
  } finally {
    rmSync(sockets, { recursive: true, force: true })
    rmSync(parent, { recursive: true, force: true })
  }
})

test.runIf(process.getuid?.() === 0)('as root it never runs as the account of the workers', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'nameplate-pg-'))
  try {
    const first = await startPostgres({ folder })
    const uid = statSync(join(folder, 'pgdata')).uid
    expect(statSync(`/proc/${first.child.pid}`).uid).toBe(uid)
    await query(first.url, 'create table kept (value int)')
    await first.stop()
    const second = await startPostgres({ folder, exceptUser: accountName(uid) })
    expect(statSync(join(folder, 'pgdata')).uid).not.toBe(uid)
    expect(statSync(`/proc/${second.child.pid}`).uid).not.toBe(uid)
    expect((await query(second.url, 'select * from kept')).rowCount).toBe(0)
    await second.stop()
    // What it is by now stays, so that an account that is made later changes nothing.
    const kept = statSync(join(folder, 'pgdata')).uid
    const third = await startPostgres({ folder })
    expect(statSync(join(folder, 'pgdata')).uid).toBe(kept)
    await third.stop()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

function accountName(uid: number): string {
  return execFileSync('getent', ['passwd', String(uid)], { encoding: 'utf8' }).split(':')[0] ?? ''
}

test('a lock file that names another program, as after a power cut, does not stop the start', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'nameplate-pg-'))
  const first = await startPostgres({ folder })
  const file = join(folder, 'pgdata', 'postmaster.pid')
  const socketLock = `${new URL(first.url).searchParams.get('host')}/.s.PGSQL.5432.lock`
  const left = [file, socketLock].map((name) => [name, readFileSync(name, 'utf8')] as const)
  await first.stop()
  for (const [name, text] of left) writeFileSync(name, text.replace(/^\d+/, String(process.pid)))
  const second = await startPostgres({ folder })
  try {
    expect((await query(second.url, 'select 1')).rowCount).toBe(1)
  } finally {
    await second.stop()
    rmSync(folder, { recursive: true, force: true })
  }
})
