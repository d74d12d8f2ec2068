import { writeFileSync } from 'node:fs'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Runtime } from '../listener/worker-command.ts'
import { createTestAuthority } from './certificates.ts'
import { nameRecord, siteRecord, startListenerRig } from './listener-rig.ts'

/**
 * `accept-queue-child.ts <runtime> <tcp_migrate_req>`, in a network namespace: what becomes of connections in the accept
 * queue of a worker that is killed, and of one that drains, while another shares its port. Prints the outcomes, counted.
 */
const [, , runtime = 'node', migrates = '0'] = process.argv
const QUEUED = 200
const shop = await (await createTestAuthority()).issue(['shop.example'])

function ask(port: number, onConnected: () => void): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  const socket = net.connect({ port, host: '127.0.0.1' })
  let text = ''
  socket.once('connect', () => {
    onConnected()
    socket.write('GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n')
  })
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
  })
  socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
  socket.once('close', () => resolve(text.slice(9, 12) || 'closed unanswered'))
  return promise
}

/** One of two workers is stopped while connections come; then it ends by `end`. */
async function outcomesOf(end: (pid: number) => void): Promise<Record<string, number>> {
  await using rig = await startListenerRig({
    runtime: runtime as Runtime,
    workers: 2,
    records: ({ certificate }) => [
      certificate(shop),
      siteRecord('shop', { kind: 'redirect', redirectTo: 'https://else.example/' }),
      nameRecord('shop.example', 'shop', shop),
    ],
  })
  const [pid = 0] = rig.pids()
  process.kill(pid, 'SIGSTOP')
  let connected = 0
  const answers = Array.from({ length: QUEUED }, () => ask(rig.httpPort, () => (connected += 1)))
  while (connected < QUEUED) await sleep(20)
  // All that the other worker was given is answered; what is left waits in the queue of the one that is stopped.
  await sleep(500)
  end(pid)
  const counts: Record<string, number> = {}
  for (const answer of await Promise.all(answers)) counts[answer] = (counts[answer] ?? 0) + 1
  return counts
}

writeFileSync('/proc/sys/net/ipv4/tcp_migrate_req', migrates)
const killed = await outcomesOf((pid) => void process.kill(pid, 'SIGKILL'))
const drained = await outcomesOf((pid) => {
  process.kill(pid, 'SIGTERM')
  process.kill(pid, 'SIGCONT')
})
process.stdout.write(JSON.stringify({ killed, drained }))
