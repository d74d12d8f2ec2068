import { once } from 'node:events'
import net from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { generateSealKeyPair } from '../contract/sealing.ts'
import { captureHello } from '../test/captured-hello.ts'
import { createContexts } from './contexts.ts'
import { createDeadlines } from './deadlines.ts'
import type { EdgeReader } from './edge-store.ts'
import { createFrontDoor, type FrontDoor } from './front-door.ts'

/** A door that knows one name, whose certificate cannot be used, and whose store may fail. */
const records: Readonly<Record<string, unknown>> = {
  'name bare.example': { siteId: 'one', certificates: ['ab'.repeat(32)] },
  'name other.example': { siteId: 'one', certificates: ['ab'.repeat(32)] },
}
let isBroken = false
let hasRoom = true
const reported: Error[] = []
const reader = {
  get: (kind: string, key: string) => {
    if (isBroken) throw new Error('the disk is gone')
    return records[`${kind} ${key}`] ?? null
  },
  namesAfter: () => Object.keys(records).flatMap((key) => (key.startsWith('name ') ? [key.slice(5)] : [])),
} as Pick<EdgeReader, 'get' | 'namesAfter'>
let door: FrontDoor
let server: net.Server
let port: number

beforeAll(async () => {
  door = createFrontDoor({
    reader,
    contexts: createContexts({ reader, keyPair: generateSealKeyPair(), warn: () => undefined }),
    servers: { accept: () => undefined, acceptPlain: () => undefined },
    deadlines: createDeadlines(),
    maxConnections: 3,
    hasRoom: () => hasRoom,
    isProxy: () => false,
    report: (error) => void reported.push(error),
  })
  server = net.createServer((socket) => door.admit(socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  port = (server.address() as net.AddressInfo).port
})
afterAll(() => void server.close())

/** Sends bytes and waits for the end; the last byte of what came is the alert's number. */
async function send(bytes: Buffer): Promise<number | undefined> {
  const socket = net.connect({ port, host: '127.0.0.1' })
  const parts: Buffer[] = []
  socket.on('data', (chunk: Buffer) => parts.push(chunk))
  socket.on('error', () => undefined)
  if (bytes.length > 0) socket.write(bytes)
  await once(socket, 'close')
  return Buffer.concat(parts).at(-1)
}

test('each refusal is counted once, by its reason', async () => {
  expect(await send(await captureHello({ servername: 'nobody.example' }))).toBe(112)
  expect(await send(await captureHello({ servername: 'no_name.example' }))).toBe(112)
  expect(await send(await captureHello({}))).toBe(112)
  expect(await send(await captureHello({ servername: 'bare.example' }))).toBe(112)
  expect(await send(await captureHello({ servername: 'bare.example', ALPNProtocols: ['acme-tls/1'] }))).toBe(120)
  expect(await send(Buffer.from('SSH-2.0-x\r\n'))).toBeUndefined()
  expect(await send(Buffer.of(22, 3, 1, 0, 4, 2, 0, 0, 9))).toBe(10)
  await send(Buffer.from('GET / HTTP/1.1\r\nHost: bare.example\r\n\r\n'))
  isBroken = true
  expect(await send(await captureHello({ servername: 'other.example' }))).toBe(80)
  isBroken = false
  hasRoom = false
  expect(await send(Buffer.alloc(0))).toBeUndefined()
  hasRoom = true
  const { refused, refusedBy, handshakes } = door.counters()
  expect(refusedBy).toEqual({
    unknownName: 2,
    noName: 1,
    noCertificate: 1,
    badHello: 2,
    clearText: 1,
    proxyHeader: 0,
    challenge: 1,
    limit: 0,
    full: 1,
    timeout: 0,
    handshake: 0,
    internal: 1,
  })
  expect([refused, handshakes, reported.length]).toEqual([10, 0, 1])
})

test('what is more than the worker holds is closed at once, and counted, and one that says nothing by its deadline', async () => {
  const held = Array.from({ length: 3 }, () => net.connect({ port, host: '127.0.0.1' }))
  await Promise.all(held.map((socket) => once(socket, 'connect')))
  await expect.poll(() => door.counters().connections).toBe(3)
  expect(await send(Buffer.alloc(0))).toBeUndefined()
  expect(door.counters().refusedBy.full).toBe(2)
  await Promise.all(held.map((socket) => once(socket.resume(), 'close')))
  expect(door.counters().refusedBy.timeout).toBe(3)
  await expect.poll(() => door.counters().connections).toBe(0)
})
