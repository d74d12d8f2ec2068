import { type ChildProcess, fork } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { REPLACE_ARGUMENT } from './process/child.ts'
import { runSocketPath } from './process/link-path.ts'
import type { ListenerReady } from './process/start.ts'
import { createTestAuthority, type TestAuthority, type TestCertificate } from './test/certificates.ts'
import { makeListenerInstallation } from './test/listener-process.ts'
import { runtimes } from './test/listener-rig.ts'
import { descendants, killTree } from './test/process-tree.ts'
import { visit } from './test/visit.ts'

const isRoot = process.getuid?.() === 0
const wait = { timeout: 40_000, interval: 50 }
const file = fileURLToPath(new URL('listener.ts', import.meta.url))

let authority: TestAuthority
let shop: TestCertificate

beforeAll(async () => {
  authority = await createTestAuthority()
  shop = await authority.issue(['shop.example'])
})

/** A data plane as its parent would start it. */
type Listener = {
  readonly child: ChildProcess
  readonly ready: Promise<ListenerReady>
  readonly ended: Promise<number | null>
  readonly errors: () => string
}

const cleanUps: (() => void | Promise<void>)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

/** An installation with one site on its disk, and settings of its own. */
async function makeInstallation(env: NodeJS.ProcessEnv = {}) {
  const installation = await makeListenerInstallation(shop, { NAMEPLATE_LOG_LEVEL: 'error', ...env })
  cleanUps.push(() => installation[Symbol.dispose]())
  return installation
}

function startListener(env: NodeJS.ProcessEnv, args: readonly string[] = []): Listener {
  const child = fork(file, args, { env, execArgv: [], stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
  let errors = ''
  child.stderr?.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
  const ready = new Promise<ListenerReady>((resolve, reject) => {
    child.once('message', (message) => resolve(message as ListenerReady))
    void ended.then((code) => reject(new Error(`ended with ${code}: ${errors}`)))
  })
  ready.catch(() => undefined)
  cleanUps.push(async () => {
    if (child.exitCode === null && child.signalCode === null) await killTree(child.pid ?? 0)
  })
  return { child, ready, ended, errors: () => errors }
}

function workersOf(listener: Listener): number[] {
  return descendants(listener.child.pid ?? 0)
    .filter((entry) => entry.command.includes('worker.ts'))
    .map((entry) => entry.pid)
}

function isAlive(pid: number): boolean {
  return existsSync(`/proc/${pid}`) && !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
}

function canMigrate(): boolean {
  return readFileSync('/proc/sys/net/ipv4/tcp_migrate_req', 'utf8').trim() === '1'
}

const get = (port: number) => visit({ port, serverName: 'shop.example', ca: authority.caPem })

describe.each(runtimes)('the data plane on %s', (runtime) => {
  const NAMEPLATE_LISTENER_RUNTIME = runtime

  test('serves from cold without a control plane, and ends without a trace', async () => {
    const { env, port } = await makeInstallation({ NAMEPLATE_LISTENER_RUNTIME })
    const listener = startListener(env)
    expect(await listener.ready).toMatchObject({
      https: [`127.0.0.1:${port}`],
      http: [env.NAMEPLATE_HTTP_LISTEN],
      workers: 2,
      runtime: expect.stringContaining(runtime),
    })
    expect(await get(port)).toMatchObject({ status: 308, fingerprint: shop.fingerprint })
    const workers = workersOf(listener)
    expect(workers).toHaveLength(2)
    listener.child.kill('SIGTERM')
    expect(await listener.ended).toBe(0)
    expect(workers.filter(isAlive)).toEqual([])
  })

  test('goes on without its supervisor, refuses nobody, and ends when a successor has taken over', async () => {
    const { env, port } = await makeInstallation({ NAMEPLATE_LISTENER_RUNTIME })
    const first = startListener(env)
    await first.ready
    const orphans = workersOf(first)
    let isVisiting = true
    const outcomes: string[] = []
    const visiting = (async () => {
      while (isVisiting)
        outcomes.push(
          await get(port).then(
            (v) => String(v.status),
            (error: Error) => error.message,
          ),
        )
    })()
    try {
      first.child.kill('SIGKILL')
      await first.ended
      expect(orphans.every(isAlive)).toBe(true)
      expect((await get(port)).status).toBe(308)

      const second = startListener(env)
      await second.ready
      await expect.poll(() => orphans.filter(isAlive), wait).toEqual([])
      expect((await get(port)).status).toBe(308)
      isVisiting = false
      await visiting
      // Without the kernel's help a closing listener resets what waits in its queue (`permitMigration`).
      if (canMigrate()) expect(new Set(outcomes)).toEqual(new Set(['308']))
      second.child.kill('SIGTERM')
      expect(await second.ended).toBe(0)
    } finally {
      isVisiting = false
      for (const pid of orphans.filter(isAlive)) process.kill(pid, 'SIGKILL')
    }
  })

  test('of a supervisor that was killed twice: no worker of either stays', async () => {
    const { env, port } = await makeInstallation({ NAMEPLATE_LISTENER_RUNTIME })
    const left: number[] = []
    try {
      for (let i = 0; i < 2; i += 1) {
        const listener = startListener(env)
        await listener.ready
        left.push(...workersOf(listener))
        listener.child.kill('SIGKILL')
        await listener.ended
      }
      const last = startListener(env)
      await last.ready
      await expect.poll(() => left.filter(isAlive), wait).toEqual([])
      expect((await get(port)).status).toBe(308)
      last.child.kill('SIGTERM')
      await last.ended
    } finally {
      for (const pid of left.filter(isAlive)) process.kill(pid, 'SIGKILL')
    }
  })
})

describe('the supervisor', () => {
  const NAMEPLATE_LISTENER_RUNTIME = 'node'

  test('starts and replaces workers when it cannot write down who they are', async () => {
    const { env, edge, port } = await makeInstallation({ NAMEPLATE_LISTENER_RUNTIME, NAMEPLATE_LOG_LEVEL: 'fatal' })
    // As on a full disk: the file cannot be put in place.
    mkdirSync(join(edge.path, 'workers.json', 'in-the-way'), { recursive: true })
    const listener = startListener(env)
    await listener.ready
    const [victim = 0] = workersOf(listener)
    process.kill(victim, 'SIGKILL')
    await expect.poll(() => workersOf(listener).filter((pid) => pid !== victim && isAlive(pid)), wait).toHaveLength(2)
    expect((await get(port)).status).toBe(308)
    listener.child.kill('SIGTERM')
    expect(await listener.ended).toBe(0)
  })

  test('ends when its parent goes away', async () => {
    const listener = startListener((await makeInstallation({ NAMEPLATE_LISTENER_RUNTIME })).env)
    await listener.ready
    const workers = workersOf(listener)
    listener.child.disconnect()
    expect(await listener.ended).toBe(0)
    expect(workers.filter(isAlive)).toEqual([])
  })

  test('that was killed leaves workers that end when the data directory is gone', async () => {
    const { env, dataDir } = await makeInstallation({ NAMEPLATE_LISTENER_RUNTIME })
    const listener = startListener(env)
    await listener.ready
    const workers = workersOf(listener)
    listener.child.kill('SIGKILL')
    await listener.ended
    rmSync(dataDir, { recursive: true })
    await expect.poll(() => workers.filter(isAlive), wait).toEqual([])
  })

  test.each(['SIGTERM', 'SIGHUP'] as const)(
    'that is asked by %s to stop while it starts leaves no worker behind',
    async (signal) => {
      const { env } = await makeInstallation({ NAMEPLATE_LISTENER_RUNTIME })
      const listener = startListener(env)
      await expect.poll(() => workersOf(listener).length, wait).toBeGreaterThan(0)
      const seen = new Set(workersOf(listener))
      listener.child.kill(signal)
      while (listener.child.exitCode === null && listener.child.signalCode === null) {
        for (const pid of workersOf(listener)) seen.add(pid)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      expect(await listener.ended).toBe(0)
      expect([...seen].filter(isAlive)).toEqual([])
    },
  )

  test.each(['SIGTERM', 'SIGKILL'] as const)(
    'whose predecessor ends by %s in the middle of an upgrade takes over, and leaves no worker behind',
    async (signal) => {
      const { env, edge, port } = await makeInstallation({ NAMEPLATE_LISTENER_RUNTIME })
      const first = startListener(env)
      await first.ready
      const old = workersOf(first)
      const second = startListener(env, [REPLACE_ARGUMENT])
      const claimed = (): unknown => JSON.parse(readFileSync(join(edge.path, 'generation'), 'utf8'))
      await expect.poll(claimed, { ...wait, interval: 5 }).toEqual({ claimed: 2, taken: 1 })
      first.child.kill(signal)
      expect(await second.ready).toMatchObject({ type: 'ready' })
      await first.ended
      await expect.poll(() => old.filter(isAlive), wait).toEqual([])
      expect((await get(port)).status).toBe(308)
      const workers = workersOf(second)
      expect(workers).toHaveLength(2)
      second.child.kill('SIGTERM')
      expect(await second.ended).toBe(0)
      expect(workers.filter(isAlive)).toEqual([])
    },
  )

  test('that cannot be replaced later ends its workers with itself', async () => {
    const { env, dataDir } = await makeInstallation({ NAMEPLATE_LISTENER_RUNTIME })
    // In the way of the socket on which a successor would ask.
    mkdirSync(runSocketPath(dataDir, 'listener.sock'), { recursive: true })
    const listener = startListener(env)
    await expect.poll(() => workersOf(listener).length, wait).toBeGreaterThan(0)
    const seen = new Set(workersOf(listener))
    while (listener.child.exitCode === null && listener.child.signalCode === null) {
      for (const pid of workersOf(listener)) seen.add(pid)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    expect(await listener.ended).toBe(1)
    expect([...seen].filter(isAlive)).toEqual([])
  })

  test('hands over only when the workers that a killed one left have ended: they hear of no change', async () => {
    const { env, edge, dataDir } = await makeInstallation({ NAMEPLATE_LISTENER_RUNTIME })
    const first = startListener(env)
    await first.ready
    const orphans = workersOf(first)
    try {
      first.child.kill('SIGKILL')
      await first.ended
      // It ends when it goes on.
      process.kill(orphans[0] ?? 0, 'SIGSTOP')
      const second = startListener(env)
      await second.ready
      const third = startListener(env, [REPLACE_ARGUMENT])
      const socket = runSocketPath(dataDir, 'listener.sock')
      const ends = (): number => readFileSync('/proc/net/unix', 'utf8').split(socket).length - 1
      await expect.poll(ends, { ...wait, interval: 5 }).toBeGreaterThan(1)
      await new Promise((resolve) => setTimeout(resolve, 2_000))
      expect(JSON.parse(readFileSync(join(edge.path, 'generation'), 'utf8'))).toMatchObject({ claimed: 2 })
      process.kill(orphans[0] ?? 0, 'SIGCONT')
      expect(await third.ready).toMatchObject({ type: 'ready' })
      expect(orphans.filter(isAlive)).toEqual([])
      third.child.kill('SIGTERM')
      expect(await third.ended).toBe(0)
    } finally {
      for (const pid of orphans.filter(isAlive)) process.kill(pid, 'SIGKILL')
    }
  })

  test('says in one line that a port is taken, and starts nothing', async () => {
    const { env, port } = await makeInstallation({ NAMEPLATE_LISTENER_RUNTIME })
    const foreign = net.createServer().listen(port, '127.0.0.1')
    await new Promise((resolve) => foreign.once('listening', resolve))
    const listener = startListener(env)
    expect(await listener.ended).toBe(1)
    foreign.close()
    expect(listener.errors()).toBe(
      `nameplate listener: NAMEPLATE_HTTPS_LISTEN: port ${port} of 127.0.0.1 is in use by another program; stop it, or choose another port\n`,
    )
  })

  test('says in one line that it runs already', async () => {
    const { env, dataDir, port } = await makeInstallation({ NAMEPLATE_LISTENER_RUNTIME })
    const first = startListener(env)
    await first.ready
    const second = startListener(env)
    expect(await second.ended).toBe(1)
    expect(second.errors()).toBe(
      `nameplate listener: ${dataDir}: Nameplate (listener) runs on this data directory already\n`,
    )
    expect((await get(port)).status).toBe(308)
    first.child.kill('SIGTERM')
    await first.ended
  })

  test.each([
    [{ NAMEPLATE_WORKERS: 'many' }, /^nameplate listener: NAMEPLATE_WORKERS: .*not "many"\n$/],
    [{ NAMEPLATE_WORKER: '2' }, /^nameplate listener: NAMEPLATE_WORKER: there is no such setting/],
    [{ NAMEPLATE_HTTPS_LISTEN: '192.0.2.1:8443' }, /192\.0\.2\.1 is no address of this machine\n$/],
    ...(isRoot
      ? [[{ NAMEPLATE_USER: 'no-such-user' }, /NAMEPLATE_USER: there is no user "no-such-user"/] as const]
      : []),
  ] as const)('names the setting that is wrong: %o', async (wrong, text) => {
    const listener = startListener((await makeInstallation({ NAMEPLATE_LISTENER_RUNTIME, ...wrong })).env)
    expect(await listener.ended).toBe(1)
    expect(listener.errors()).toMatch(text)
  })

  test.runIf(isRoot)('gives workers an account of their own, which cannot read the edge\u2019s key', async () => {
    const { env, edge, port } = await makeInstallation({ NAMEPLATE_USER: 'nobody' })
    const listener = startListener(env)
    expect((await listener.ready).runtime).toContain('bun')
    const [pid] = workersOf(listener)
    expect(/^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]).not.toBe('0')
    expect(statSync(join(edge.path, 'edge.key')).mode & 0o777).toBe(0o600)
    expect((await get(port)).status).toBe(308)
    listener.child.kill('SIGTERM')
    expect(await listener.ended).toBe(0)
  })

  test.runIf(isRoot)('replaces the workers of a killed one that ran as another account', async () => {
    const { env, port } = await makeInstallation({ NAMEPLATE_LISTENER_RUNTIME })
    const first = startListener(env)
    await first.ready
    const orphans = workersOf(first)
    first.child.kill('SIGKILL')
    await first.ended
    const second = startListener({ ...env, NAMEPLATE_USER: 'nobody' })
    await second.ready
    expect(orphans.filter(isAlive)).toEqual([])
    expect((await get(port)).status).toBe(308)
    second.child.kill('SIGTERM')
    expect(await second.ended).toBe(0)
  })
})
