import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createLog } from '../process/log.ts'
import { createTestAuthority, type TestAuthority, type TestCertificate } from '../test/certificates.ts'
import {
  type ListenerRig,
  nameRecord,
  type RigOptions,
  runtimes,
  siteRecord,
  startListenerRig,
} from '../test/listener-rig.ts'
import { freePorts } from '../test/ports.ts'
import { visit } from '../test/visit.ts'
import { chooseRuntime } from './choose-runtime.ts'
import { findAccount } from './edge-folder.ts'
import { selfTest } from './self-test.ts'
import { type Runtime, workerLaunch } from './worker-command.ts'
import { startWorkerPool } from './worker-pool.ts'

const isRoot = process.getuid?.() === 0
const silent = createLog('test', 'silent')
const wait = { timeout: 30_000 }

let authority: TestAuthority
let shop: TestCertificate

beforeAll(async () => {
  authority = await createTestAuthority()
  shop = await authority.issue(['shop.example'])
})

function startRig(options: RigOptions): Promise<ListenerRig> {
  return startListenerRig({
    ...options,
    records: ({ certificate, release }) => [
      certificate(shop),
      siteRecord('shop', { manifest: release({ 'index.html': 'shop' }) }),
      nameRecord('shop.example', 'shop', shop),
    ],
  })
}

const get = (rig: ListenerRig) => visit({ port: rig.httpsPort, serverName: 'shop.example', ca: authority.caPem })

describe.each(runtimes)('a pool on %s', (runtime) => {
  let rig: ListenerRig
  beforeAll(async () => {
    rig = await startRig({ runtime, workers: 2 })
  })
  afterAll(() => rig.close())

  test('says how many workers run, and on what', () => {
    expect(rig.pool.status()).toMatchObject({
      workers: 2,
      runtime: expect.stringMatching(new RegExp(`^${runtime} \\d`)),
    })
  })

  test('gives workers neither our environment nor keys by environment or arguments', () => {
    for (const pid of rig.pids()) {
      const seen = ['environ', 'cmdline'].map((file) => readFileSync(`/proc/${pid}/${file}`, 'latin1')).join()
      expect(seen).not.toContain(rig.message.privateKey)
      expect(seen).not.toContain('VITEST')
      expect(seen).toContain('PATH=/usr/bin:/bin')
    }
  })

  test('starts workers that leave no core file and open no inspector, with all descriptors that they may have', async () => {
    for (const pid of rig.pids()) {
      const limits = readFileSync(`/proc/${pid}/limits`, 'utf8')
      expect(/^Max core file size\s+(\d+)\s+(\d+)/m.exec(limits)?.slice(1)).toEqual(['0', '0'])
      const [, soft, hard] = /^Max open files\s+(\S+)\s+(\S+)/m.exec(limits) ?? []
      expect(soft).toBe(hard)
    }
    const before = rig.pids()
    const inspector = await new Promise<string>((resolve) => {
      process.kill(rig.pids()[0] ?? 0, 'SIGUSR1')
      const socket = net.connect(9229, '127.0.0.1', () => resolve('open'))
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''))
    })
    expect(inspector).toBe('ECONNREFUSED')
    expect((await get(rig)).status).toBe(200)
    expect(rig.pids()).toEqual(before)
  })

  test('replaces a worker that was killed, while the other one serves', async () => {
    const [first = 0, second = 0] = rig.pids()
    process.kill(first, 'SIGKILL')
    await expect.poll(() => rig.pids().includes(first), wait).toBe(false)
    for (let i = 0; i < 10; i += 1) expect((await get(rig)).status).toBe(200)
    await expect.poll(() => rig.pids().length, wait).toBe(2)
    expect(rig.pids()).toContain(second)
    await rig.publish([])
  })

  test('goes on when one worker after the other dies', async () => {
    const before = new Set(rig.pids())
    for (const pid of before) process.kill(pid, 'SIGKILL')
    await expect.poll(() => rig.pids().filter((pid) => !before.has(pid)).length, wait).toBe(2)
    await rig.publish([nameRecord('shop.example', 'shop', shop)])
    await expect
      .poll(
        () =>
          get(rig).then(
            ({ status }) => status,
            () => 0,
          ),
        wait,
      )
      .toBe(200)
  })

  test('replaces a worker that does not confirm: an acked change is served by nobody in its old form', async () => {
    await expect.poll(() => rig.pids().length, wait).toBe(2)
    await rig.publish([nameRecord('shop.example', 'shop', shop)])
    const [hung = 0] = rig.pids()
    process.kill(hung, 'SIGSTOP')
    const next = await authority.issue(['shop.example'])
    await rig.publish([rig.certificate(next), nameRecord('shop.example', 'shop', next)])
    expect(rig.pids()).not.toContain(hung)
    for (let i = 0; i < 10; i += 1) expect((await get(rig)).fingerprint).toBe(next.fingerprint)
  })

  test('replaces a worker that hangs, although nothing was asked of it', async () => {
    const [hung = 0] = rig.pids()
    process.kill(hung, 'SIGSTOP')
    await expect.poll(() => rig.pids().includes(hung), { timeout: 60_000 }).toBe(false)
    await expect.poll(() => rig.pids().length, wait).toBe(2)
    await expect
      .poll(
        () =>
          get(rig).then(
            ({ status }) => status,
            () => 0,
          ),
        wait,
      )
      .toBe(200)
  })
})

describe.each(runtimes)('one worker on %s', (runtime) => {
  test('is drained: what was asked is answered, idle connections end, nothing is accepted', async () => {
    const rig = await startRig({ runtime })
    let release: (() => void) | null = null
    // The first request is kept waiting; those that come in while the port is still open are answered at once.
    const upstream = http.createServer((_request, response) => {
      if (release === null) release = () => response.end('late')
      else response.end('early')
    })
    await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve))
    const { port } = upstream.address() as net.AddressInfo
    const url = `http://127.0.0.1:${port}`
    await rig.publish([siteRecord('shop', { kind: 'proxy', upstreams: [{ url, weight: 1 }], isPanel: true })])
    const idle = net.connect({ port: rig.httpPort, host: '127.0.0.1' })
    idle.on('error', () => undefined)
    const hasEnded = new Promise((resolve) => idle.once('close', resolve))
    const asked = get(rig)
    await new Promise((resolve) => upstream.once('request', resolve))
    const closing = rig.close()
    await expect
      .poll(
        () =>
          get(rig).then(
            () => 'served',
            () => 'refused',
          ),
        wait,
      )
      .toBe('refused')
    ;(release as (() => void) | null)?.()
    expect(await asked).toMatchObject({ status: 200, body: 'late' })
    await Promise.all([closing, hasEnded])
    expect(rig.pids()).toEqual([])
    upstream.close()
  })

  test('passes the self-test', async () => {
    const launch = workerLaunch(runtime, null)
    if (launch === null) throw new Error('not installed')
    await selfTest(launch, null, silent)
    expect(await chooseRuntime(runtime, null, silent)).toMatchObject({ runtime })
  })

  test('that does not start is an error with its reason, and nothing is left', async () => {
    const rig = await startRig({ runtime })
    // A foreign program, which does not share its port.
    const foreign = net.createServer()
    await new Promise<void>((resolve) => foreign.listen(0, '127.0.0.1', resolve))
    const { port } = foreign.address() as net.AddressInfo
    const launch = workerLaunch(runtime, null)
    if (launch === null) throw new Error('not installed')
    let pids: readonly number[] = []
    const message = { ...rig.message, http: [], https: [{ address: '127.0.0.1', port, ipv6Only: false }] }
    const onWorkers = (now: readonly number[]) => {
      pids = now
    }
    const failing = startWorkerPool({ launch, count: 2, message, log: silent, onWorkers })
    await expect(failing).rejects.toThrow(new RegExp(`cannot listen on 127\\.0\\.0\\.1 port ${port}`))
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow()
    foreign.close()
    await rig.close()
  })

  test('holds no more connections than its descriptors allow, and serves again afterwards', async () => {
    const rig = await startRig({ runtime })
    const plain = workerLaunch(runtime, null)
    if (plain === null) throw new Error('not installed')
    const limit = ['-c', 'ulimit -n 500; exec "$0" "$@"', plain.command, ...plain.args]
    const launch = { ...plain, command: 'sh', args: limit }
    const [port = 0] = await freePorts(1)
    const message = { ...rig.message, http: [], https: [{ address: '127.0.0.1', port, ipv6Only: false }] }
    const pool = await startWorkerPool({ launch, count: 1, message, log: silent, onWorkers: () => undefined })
    let closed = 0
    const idle = Array.from({ length: 400 }, () => {
      const socket = net.connect({ port, host: '127.0.0.1' })
      socket.on('error', () => undefined)
      socket.once('close', () => (closed += 1))
      return socket
    })
    // 240 of them stay (80 % of 500 - 200), until the deadline of the hello ends them too.
    await expect.poll(() => closed, wait).toBeGreaterThanOrEqual(150)
    await expect.poll(() => closed, wait).toBe(idle.length)
    expect((await visit({ port, serverName: 'shop.example', ca: authority.caPem })).body).toBe('shop')
    await pool.drain()
    await rig.close()
  })

  test.runIf(isRoot)('runs as another account, with the right to bind low ports and no other', async () => {
    const account = findAccount('nobody')
    const rig = await startRig({ runtime, account })
    const status = readFileSync(`/proc/${rig.pids()[0]}/status`, 'utf8')
    expect(/^Uid:\t(\d+)/m.exec(status)?.[1]).not.toBe('0')
    expect(/^CapEff:\t(\w+)/m.exec(status)?.[1]).toBe('0000000000000400')
    const { path, blobs } = rig.edge
    writeFileSync(join(path, '..', 'master.key'), 'secret', { mode: 0o600 })
    const asWorker = (...args: string[]) =>
      spawnSync('setpriv', ['--reuid=nobody', `--regid=${account?.gid}`, '--init-groups', ...args])
    for (const secret of [join(path, 'edge.key'), join(path, '..', 'master.key'), `/proc/${rig.pids()[0]}/mem`])
      expect([secret, asWorker('head', '-c1', secret).status]).toEqual([secret, 1])
    for (const served of [join(path, 'records.sqlite'), blobs]) expect(asWorker('test', '-r', served).status).toBe(0)
    expect(/^NoNewPrivs:\t(\d)/m.exec(status)?.[1]).toBe('1')
    expect(await get(rig)).toMatchObject({ status: 200, body: 'shop' })
    // Changes reach it through a write-ahead log that it may only read, beyond a checkpoint too.
    for (let i = 0; i < 40; i += 1) {
      const filler = Array.from({ length: 200 }, (_, k) => nameRecord(`n${i}-${k}.example`, 'shop', shop))
      await rig.publish(filler)
      if (i % 8 !== 0) continue
      const next = await authority.issue(['shop.example'])
      await rig.publish([rig.certificate(next), nameRecord('shop.example', 'shop', next)])
      expect((await get(rig)).fingerprint).toBe(next.fingerprint)
    }
    await rig.close()
  })
})

describe('the choice of runtime', () => {
  const broken = (runtime: Runtime) => {
    const launch = workerLaunch(runtime, null)
    return launch === null || runtime === 'node' ? launch : { ...launch, command: '/bin/false' }
  }

  test('falls back from Bun to Node with one warning', async () => {
    const warnings: unknown[] = []
    const log = { ...silent, warn: (fields: unknown) => void warnings.push(fields) } as typeof silent
    expect(await chooseRuntime('auto', null, log, broken)).toMatchObject({ runtime: 'node' })
    expect(warnings).toEqual([{ reason: expect.stringContaining('exit code 1') }])
  })

  test('ends with an error when none is left', async () => {
    const error = await chooseRuntime('bun', null, silent, broken).catch((reason: Error) => reason)
    expect(error).toMatchObject({
      name: 'RuntimeError',
      message: expect.stringMatching(/^no worker can run here: bun: /),
    })
    await expect(chooseRuntime('bun', null, silent, () => null)).rejects.toThrow('bun: it is not installed')
  })
})

test('an account that does not exist is none', () => {
  expect(findAccount('no-such-user-here')).toBeNull()
})
