import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { HostnameView } from '../../control/domains/schema.ts'
import { type ApiClient, signIn } from '../client.ts'
import { createTestDatabase } from '../database.ts'
import { freePorts } from '../ports.ts'
import { killTree } from '../process-tree.ts'
import { admin, type Command, eventually, startCommand } from '../stack.ts'
import {
  asUser,
  canConnect,
  canRead,
  capabilitiesToRead,
  freeLowPort,
  groupNumber,
  identities,
  requireRoot,
  testUid,
} from '../users.ts'
import { visit } from '../visit.ts'
import { addSite, makeSite, type NewSite, untilLive } from '../world.ts'

/** The production way of README.md: database, control plane and listener as three users of one machine. */
const LINK_GROUP = 'users'
const ADDRESS = '127.77.0.1'
/** Bit 10 of the capability sets (capabilities(7)). */
const ONLY_LOW_PORTS = (1n << 10n).toString(16).padStart(16, '0')
const NOTHING = '0'.repeat(16)

/** The database over TCP, as a server elsewhere is: its own socket is closed to other users. */
async function databaseOverTcp(url: string, port: number) {
  const target = new URL(url)
  const path = join(target.searchParams.get('host') ?? '', '.s.PGSQL.5432')
  const open = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connect(path)
    for (const [from, to] of [[client, upstream] as const, [upstream, client] as const]) {
      open.add(from)
      from.on('error', () => undefined).on('close', () => to.destroy())
      from.pipe(to)
    }
  })
  const listen = (): Promise<void> => new Promise((resolve) => server.listen(port, '127.0.0.1', () => resolve()))
  await listen()
  return {
    url: `postgresql://${target.username}@127.0.0.1:${port}${target.pathname}`,
    listen,
    cut(): Promise<void> {
      for (const socket of open) socket.destroy()
      open.clear()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}

/** The folders that an administrator prepares, each for its own user; the link's for the group too. */
function prepareFolders() {
  const base = mkdtempSync(join(tmpdir(), 'nameplate-users-'))
  chmodSync(base, 0o711)
  const make = (name: string, uid: number, gid: number, mode: number): string => {
    const path = join(base, name)
    mkdirSync(path)
    chownSync(path, uid, gid)
    chmodSync(path, mode)
    return path
  }
  const { control, listener } = testUid
  return {
    base,
    control: make('control', control, control, 0o700),
    listener: make('listener', listener, listener, 0o700),
    link: make('link', control, groupNumber(LINK_GROUP), 0o750),
  }
}

async function localRoot(api: ApiClient, apiUrl: string): Promise<string> {
  const { items } = await api.get<{ items: { id: string }[] }>('/issuers')
  return (await fetch(`${apiUrl}/issuers/${items[0]?.id}/root.pem`)).text()
}

async function addTrusted(api: ApiClient, site: NewSite, name: string): Promise<void> {
  const { tenantId, siteId } = site
  const made = await api.post<HostnameView>('/hostnames', { name, siteId, tenantId, ownership: 'trusted' })
  await untilLive(api, made.id)
}

test('three users: each starts, is killed and comes back alone, and visitors are served all the time', async () => {
  requireRoot()
  const folders = prepareFolders()
  const group = groupNumber(LINK_GROUP)
  const users = {
    control: { uid: testUid.control, groups: [group] },
    listener: { uid: testUid.listener, groups: [group] },
    stranger: { uid: testUid.stranger, groups: [] },
  }
  await using database = await createTestDatabase()
  const [apiPort = 0, databasePort = 0] = await freePorts(2)
  const https = await freeLowPort(ADDRESS)
  const http = await freeLowPort(ADDRESS, [https])
  const postgres = await databaseOverTcp(database.url, databasePort)
  const socket = join(folders.link, 'link.sock')
  const common = { PATH: process.env.PATH, NAMEPLATE_LINK_SOCKET: socket }
  const controlEnv = {
    ...common,
    DATABASE_URL: postgres.url,
    NAMEPLATE_DATA_DIR: join(folders.control, 'data'),
    NAMEPLATE_LINK_GROUP: LINK_GROUP,
    NAMEPLATE_API_LISTEN: `127.0.0.1:${apiPort}`,
    NAMEPLATE_ADMIN_EMAIL: admin.email,
    NAMEPLATE_ADMIN_PASSWORD: admin.password,
  }
  const listenerEnv = {
    ...common,
    NAMEPLATE_DATA_DIR: join(folders.listener, 'data'),
    NAMEPLATE_HTTPS_LISTEN: `${ADDRESS}:${https}`,
    NAMEPLATE_HTTP_LISTEN: `${ADDRESS}:${http}`,
    NAMEPLATE_WORKERS: '2',
  }
  const reading = await capabilitiesToRead(users.stranger)
  const running = new Set<Command>()
  const start = async (plane: 'control' | 'listener'): Promise<Command> => {
    const isControl = plane === 'control'
    const wrapper = asUser(users[plane], isControl ? reading : ['net_bind_service', ...reading])
    const command = await startCommand(plane, isControl ? controlEnv : listenerEnv, wrapper)
    running.add(command)
    return command
  }
  const kill = async (command: Command): Promise<void> => {
    running.delete(command)
    await killTree(command.pid)
  }
  const apiUrl = `http://127.0.0.1:${apiPort}/api/v1`
  try {
    // The listener first: it needs no control plane to start.
    const listener = await start('listener')
    const control = await start('control')
    const api = await signIn(apiUrl)
    const site = await makeSite(api, 'one', { 'index.html': 'the first site' })
    await addTrusted(api, site, 'one.separate.test')
    const ca = await localRoot(api, apiUrl)
    const served = async (serverName: string): Promise<string> =>
      (await visit({ address: ADDRESS, port: https, serverName, ca })).body
    expect(await served('one.separate.test')).toBe('the first site')

    // Who runs, and what each may do and read.
    expect(identities(control.pid).uids).toEqual([users.control.uid])
    expect(identities(listener.pid).uids).toEqual([users.listener.uid])
    if (reading.length === 0) {
      expect(identities(control.pid).capabilities).toEqual([NOTHING])
      expect(identities(listener.pid).capabilities).toEqual([ONLY_LOW_PORTS])
    }
    const masterKey = join(folders.control, 'data', 'master.key')
    const edgeKey = join(folders.listener, 'data', 'edge', 'edge.key')
    expect(await canRead(users.control, masterKey)).toBe(true)
    expect(await canRead(users.listener, masterKey)).toBe(false)
    expect(await canRead(users.listener, edgeKey)).toBe(true)
    expect(await canRead(users.control, edgeKey)).toBe(false)
    expect(statSync(socket)).toMatchObject({ uid: users.control.uid, gid: group })
    expect(statSync(socket).mode & 0o777).toBe(0o660)
    expect(await canConnect(users.listener, socket)).toBe(true)
    expect(await canConnect(users.stranger, socket)).toBe(false)

    // Database and control plane gone: new visitors are served, and so they are after a cold start.
    await postgres.cut()
    await kill(control)
    expect(await served('one.separate.test')).toBe('the first site')
    await kill(listener)
    await expect(served('one.separate.test')).rejects.toThrow(/ECONNREFUSED|ECONNRESET/)
    await start('listener')
    expect(await served('one.separate.test')).toBe('the first site')

    // The control plane waits for its database, then all goes on where it was.
    const waiting = start('control')
    await postgres.listen()
    await waiting
    const again = await eventually(() => signIn(apiUrl), 'signing in again')
    const other = await addSite(again, site.tenantId, 'two', { 'index.html': 'the second site' })
    await addTrusted(again, other, 'two.separate.test')
    expect(await served('two.separate.test')).toBe('the second site')
    expect(await served('one.separate.test')).toBe('the first site')
  } finally {
    await Promise.all([...running].map((command) => command.end()))
    await postgres.cut()
    rmSync(folders.base, { recursive: true, force: true })
  }
})
