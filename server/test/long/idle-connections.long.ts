import { readdirSync, readFileSync } from 'node:fs'
import tls from 'node:tls'
import { expect, test } from 'vitest'
import { createTestAuthority } from '../certificates.ts'
import { nameRecord, runtimes, siteRecord, startListenerRig } from '../listener-rig.ts'
import { visit } from '../visit.ts'

const CONNECTIONS = 15_000
/** Handshakes under way at one time. */
const AT_ONCE = 40
/** Connections with a source address; each has its own ports. */
const OF_ONE_ADDRESS = 1_000
/** So many newer ones later, a connection asks again: it is idle for less than the 30 s that it may be. */
const ASK_AGAIN = 3_000
/** What a connection may take, its share of garbage included: measured are 15 KiB with Bun and 50 with Node. */
const MOST_BYTES_EACH = 80 * 1_024

/** More than one site and one tenant may have by default. */
const limits = {
  kind: 'setting',
  key: 'listenerLimits',
  payload: { value: { siteConnections: 2 * CONNECTIONS, tenantConnections: 2 * CONNECTIONS } },
} as const

/** Fifteen thousand visitors who have asked once and stay: each is served again, a new one too, and then all is as before. */
test.each(runtimes)(`${CONNECTIONS} idle connections of one worker on %s`, { timeout: 600_000 }, async (runtime) => {
  const authority = await createTestAuthority()
  const shop = await authority.issue(['shop.example'])
  await using rig = await startListenerRig({
    runtime,
    records: (parts) => [
      parts.certificate(shop),
      nameRecord('shop.example', 'shop', shop),
      limits,
      siteRecord('shop', { manifest: parts.release({ 'index.html': 'hello' }) }),
    ],
  })
  const [pid = 0] = rig.pids()
  const ask = { port: rig.httpsPort, serverName: 'shop.example' }
  await visit(ask)
  const before = held(pid)
  const open: Idle[] = []
  let begun = 0
  const opener = async (): Promise<void> => {
    while (begun < CONNECTIONS) {
      const number = begun
      begun += 1
      open.push(await openIdle(rig.httpsPort, `127.0.2.${1 + Math.floor(number / OF_ONE_ADDRESS)}`))
      for (let older = open.length - ASK_AGAIN; older >= 0; older -= ASK_AGAIN) void open[older]?.ask()
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, opener))
  const during = held(pid)
  expect(open.filter(({ socket }) => !socket.destroyed)).toHaveLength(CONNECTIONS)
  expect(during.files - before.files).toBeGreaterThanOrEqual(CONNECTIONS)
  expect((during.bytes - before.bytes) / CONNECTIONS).toBeLessThan(MOST_BYTES_EACH)
  expect((await visit(ask)).body).toBe('hello')
  for (const one of [open[0], open.at(-1)]) expect(await one?.ask()).toContain('HTTP/1.1 200')
  for (const { socket } of open) socket.destroy()
  await expect.poll(() => held(pid).files, { timeout: 60_000 }).toBeLessThan(before.files + 20)
  process.stdout.write(`${runtime}: ${Math.round((during.bytes - before.bytes) / CONNECTIONS / 1_024)} KiB each\n`)
})

type Idle = { readonly socket: tls.TLSSocket; ask(): Promise<string> }

async function openIdle(port: number, localAddress: string): Promise<Idle> {
  const socket = tls.connect({
    port,
    host: '127.0.0.1',
    localAddress,
    servername: 'shop.example',
    rejectUnauthorized: false,
  } as tls.ConnectionOptions)
  let answered: (text: string) => void = () => undefined
  socket.on('error', () => undefined).on('data', (chunk: Buffer) => answered(chunk.toString('latin1')))
  const ask = (): Promise<string> =>
    new Promise((resolve) => {
      answered = resolve
      socket.once('close', () => resolve('closed'))
      socket.write('GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n')
    })
  expect(await ask()).toContain('HTTP/1.1 200')
  return { socket, ask }
}

function held(pid: number): { bytes: number; files: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return { bytes: Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1_024, files: openFiles(pid) }
}

/** Descriptors that are open. */
function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}
