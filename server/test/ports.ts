import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

/** Below what the system gives to outgoing connections and to `listen(0)` (32768 by default), above what services use. */
const FIRST = 10_000
const AFTER_LAST = 32_000
const TRIES = 1_000

/** Listens, and says whether that was possible. What listens keeps no process alive. */
function listens(target: { path: string } | { port: number }): Promise<(() => Promise<void>) | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(undefined))
    server.listen(target, () => resolve(() => new Promise((closed) => server.close(() => closed()))))
    server.unref()
  })
}

/** Takes one port for this process: the claim is an abstract socket, which the system lets go when the process ends. */
async function claims(port: number): Promise<boolean> {
  const unclaim = await listens({ path: `\0nameplate-test-port-${port}` })
  if (unclaim === undefined) return false
  const close = await listens({ port })
  if (close === undefined) {
    await unclaim()
    return false
  }
  await close()
  return true
}

/**
 * Ports on which nothing listens and which no other call, in this process or another test's, is given until this
 * process ends. Asking the system for "any port" instead gives ports that it hands out again before they are used.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = []
  for (let tries = 0; ports.length < count; tries += 1) {
    if (tries === TRIES) throw new Error(`no ${count} free ports between ${FIRST} and ${AFTER_LAST}`)
    // Even ones: the listener serves its metrics on the port after the one that it is given.
    const port = randomInt(FIRST / 2, AFTER_LAST / 2) * 2
    if (await claims(port)) ports.push(port)
  }
  return ports
}
