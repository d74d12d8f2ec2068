import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { createTestDatabase } from '../database.ts'
import { expectSeen } from '../fault-table.ts'
import { freePorts } from '../ports.ts'
import { launch, type Stack, startCommand, startStack } from '../stack.ts'
import { run } from '../visit.ts'

/** docs/faults.md, "At the start": one clear line, and nothing half-done. */
let folder: string
let ports: number[]
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'nameplate-faults-'))
  ports = await freePorts(4)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function environment(name: string, more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const [api, https, http, metrics] = ports
  return {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    NAMEPLATE_DATA_DIR: join(folder, name),
    NAMEPLATE_API_LISTEN: `127.0.0.1:${api}`,
    NAMEPLATE_HTTPS_LISTEN: `:${https}`,
    NAMEPLATE_HTTP_LISTEN: `:${http}`,
    NAMEPLATE_METRICS_LISTEN: `127.0.0.1:${metrics}`,
    NAMEPLATE_WORKERS: '1',
    ...more,
  }
}

async function startFails(id: string, env: NodeJS.ProcessEnv): Promise<string> {
  const command = launch('start', env)
  expect(await command.ended).toBe(1)
  expectSeen(id, command.output())
  return command.output()
}

function occupy(port: number, host?: string): Promise<Server> {
  const server = createServer()
  return new Promise((resolve) => server.listen(port, host, () => resolve(server)))
}

describe('settings', () => {
  test('unknown-setting', async () => {
    await startFails('unknown-setting', environment('unknown', { NAMEPLATE_HTTP_LISTENN: ':80' }))
    expect(existsSync(join(folder, 'unknown'))).toBe(false)
  })

  test('wrong-setting', async () => {
    await startFails('wrong-setting', environment('wrong', { NAMEPLATE_WORKERS: 'many' }))
    expect(existsSync(join(folder, 'wrong'))).toBe(false)
  })

  test('database-url-wrong', async () => {
    const output = await startFails('database-url-wrong', environment('url', { DATABASE_URL: 'mysql://u:hidden@db/x' }))
    expect(output).not.toContain('hidden')
  })
})

describe('ports and databases', () => {
  test.each([
    ['https-port-in-use', 1, undefined],
    ['http-port-in-use', 2, undefined],
    ['api-port-in-use', 0, '127.0.0.1'],
  ])('%s', async (id, index, host) => {
    await using database = await createTestDatabase()
    const other = await occupy(ports[index] ?? 0, host)
    try {
      await startFails(id, environment(id, { DATABASE_URL: database.url }))
    } finally {
      other.close()
    }
  })

  test('database-unreachable', async () => {
    const [port] = await freePorts(1)
    await startFails(
      'database-unreachable',
      environment('unreachable', { DATABASE_URL: `postgresql://u@127.0.0.1:${port}/x` }),
    )
  })

  test('database-missing', async () => {
    const url = inject('postgresUrl').replace('/nameplate?', '/none?')
    await startFails('database-missing', environment('missing', { DATABASE_URL: url }))
  })

  test('acme-directory-down', async () => {
    await using database = await createTestDatabase()
    const [port] = await freePorts(1)
    const env = {
      DATABASE_URL: database.url,
      NAMEPLATE_ACME_DIRECTORY: `https://127.0.0.1:${port}/dir`,
      NAMEPLATE_ACME_TERMS_AGREED: 'true',
    }
    const command = await startCommand('start', environment('directory', env))
    expectSeen('acme-directory-down', command.output())
    expect(command.output()).toContain(`127.0.0.1:${port}`)
    await command.end()
  })
})

describe('one data directory', () => {
  let stack: Stack
  beforeAll(async () => {
    stack = await startStack()
  })
  afterAll(async () => {
    await stack?.[Symbol.asyncDispose]()
  })

  test('second-start', async () => {
    await startFails('second-start', stack.env)
    expect((await fetch(`${stack.apiUrl}/health`)).status).toBe(200)
  })

  test('a plane alone beside a running installation leaves its database alone', async () => {
    const command = launch('control', stack.env)
    expect(await command.ended).toBe(1)
    expect(command.output()).toContain('runs on this data directory already')
    expect(stack.output()).not.toContain('the embedded PostgreSQL has ended')
    expect((await fetch(`${stack.apiUrl}/health`)).status).toBe(200)
  })

  test('master-key-wrong and master-key-missing', async () => {
    const key = join(stack.dataDir, 'master.key')
    const right = readFileSync(key)
    await stack.parents[0]?.end()
    writeFileSync(key, randomBytes(32))
    await startFails('master-key-wrong', stack.env)
    renameSync(key, `${key}.away`)
    await startFails('master-key-missing', stack.env)
    expect(existsSync(key)).toBe(false)
    writeFileSync(key, right)
    const again = await startCommand('start', stack.env)
    await again.end()
  })
})

test('disk-full-at-start', async () => {
  const mount = join(folder, 'small')
  await run('mkdir', [mount])
  const mounted = await run('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'none', mount])
  expect(mounted.stderr, 'a small tmpfs can be mounted').toBe('')
  try {
    const env = environment('small', { NAMEPLATE_DATA_DIR: join(mount, 'data') })
    await startFails('disk-full-at-start', env)
    expect(existsSync(join(mount, 'data', 'postgres', 'pgdata'))).toBe(false)
    await run('mount', ['-o', 'remount,size=512m', mount])
    const command = await startCommand('start', env)
    await command.end()
  } finally {
    await run('umount', [mount])
  }
})
