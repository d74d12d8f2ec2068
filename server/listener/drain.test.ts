import { readFileSync } from 'node:fs'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { createTestAuthority } from '../test/certificates.ts'
import { nameRecord, runtimes, siteRecord, startListenerRig } from '../test/listener-rig.ts'
import type { Runtime } from './worker-command.ts'

const wait = { timeout: 30_000 }
/** Node accepts them one a turn, among the requests of those before: far more turns than a drain may hurry over. */
const QUEUED = 300
const REQUEST = 'GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n'

async function startRig(runtime: Runtime, workers: number) {
  const shop = await (await createTestAuthority()).issue(['shop.example'])
  return startListenerRig({
    runtime,
    workers,
    records: ({ certificate }) => [
      certificate(shop),
      siteRecord('shop', { kind: 'redirect', redirectTo: 'https://else.example/' }),
      nameRecord('shop.example', 'shop', shop),
    ],
  })
}

/** One connection with one request: the status line, or what went wrong. */
function ask(port: number, onConnected: () => void = () => undefined): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  const socket = net.connect({ port, host: '127.0.0.1' })
  let text = ''
  socket.once('connect', () => {
    onConnected()
    socket.write(REQUEST)
  })
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
  })
  socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
  socket.once('close', () => resolve(text.slice(0, 12) || 'closed unanswered'))
  return promise
}

function canMigrate(): boolean {
  return readFileSync('/proc/sys/net/ipv4/tcp_migrate_req', 'utf8').trim() === '1'
}

describe.each(runtimes)('a drain on %s', (runtime) => {
  test('answers all that waited in the accept queue when it began, with no other worker there', async () => {
    await using rig = await startRig(runtime, 1)
    expect(await ask(rig.httpPort)).toBe('HTTP/1.1 301')
    const [pid = 0] = rig.pids()
    let connected = 0
    process.kill(pid, 'SIGSTOP')
    const answers = Array.from({ length: QUEUED }, () => ask(rig.httpPort, () => (connected += 1)))
    await expect.poll(() => connected, wait).toBe(QUEUED)
    process.kill(pid, 'SIGTERM')
    process.kill(pid, 'SIGCONT')
    expect(new Set(await Promise.all(answers))).toEqual(new Set(['HTTP/1.1 301']))
    await expect.poll(() => rig.pids().includes(pid), wait).toBe(false)
  })

  test('loses nobody of a flood that keeps the accept queues full', async () => {
    await using rig = await startRig(runtime, 2)
    const before = rig.pids()
    const seen = new Map<string, number>()
    let isOver = false
    const clients = Array.from({ length: 60 }, async () => {
      while (!isOver) {
        const answer = await ask(rig.httpPort)
        seen.set(answer, (seen.get(answer) ?? 0) + 1)
      }
    })
    await expect.poll(() => seen.get('HTTP/1.1 301') ?? 0, wait).toBeGreaterThan(500)
    // A stopped worker accepts nobody: its queue is full when the drain comes.
    for (const pid of before) process.kill(pid, 'SIGSTOP')
    await sleep(100)
    for (const pid of before) process.kill(pid, 'SIGCONT')
    await rig.pool.replaceAll()
    expect(rig.pids().filter((pid) => before.includes(pid))).toEqual([])
    isOver = true
    await Promise.all(clients)
    // Without it the kernel resets those whose handshake ends in the very moment of the close.
    if (canMigrate()) expect([...seen.keys()]).toEqual(['HTTP/1.1 301'])
  })
})
