import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { DialError } from './dialler.ts'
import { exchangeTcp, exchangeUdp } from './dns-exchange.ts'

const question = Buffer.from('a question')
const isAnswer = (bytes: Buffer): boolean => bytes.toString() === 'the answer'
const options = { timeoutMs: 20_000, isAnswer }
const codeOf = (work: Promise<Buffer>): Promise<string> =>
  work.then(String, (error: unknown) => (error instanceof DialError ? error.code : String(error)))

/** A server that does with each connection as it is told, once it has heard something. */
async function tcpServer(answer: (socket: Socket) => void) {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.once('data', () => answer(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    target: { address: '127.0.0.1', port: (server.address() as AddressInfo).port },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

test('UDP: strays are passed over until the answer comes', async () => {
  const server = createSocket('udp4')
  server.bind(0, '127.0.0.1')
  await once(server, 'listening')
  server.on('message', (message, peer) => {
    for (const text of ['a stray', message.toString(), 'the answer']) server.send(text, peer.port, peer.address)
  })
  const target = { address: '127.0.0.1', port: server.address().port }
  expect((await exchangeUdp(target, question, options)).toString()).toBe('the answer')
  expect(await codeOf(exchangeUdp(target, question, { timeoutMs: 300, isAnswer: () => false }))).toBe('timeout')
  expect(await codeOf(exchangeUdp(target, question, { ...options, signal: AbortSignal.abort() }))).toBe('timeout')
  server.close()
  await once(server, 'close')
  expect(await codeOf(exchangeUdp(target, question, options))).toBe('connect')
})

test('TCP: an answer in pieces is put together', async () => {
  await using server = await tcpServer(async (socket) => {
    for (const byte of Buffer.concat([Buffer.from([0, 10]), Buffer.from('the answer')])) {
      socket.write(Buffer.from([byte]))
      await new Promise(setImmediate)
    }
  })
  expect((await exchangeTcp(server.target, question, options)).toString()).toBe('the answer')
})

test.each<[string, (socket: Socket) => void, string]>([
  ['closes', (socket) => socket.end(), 'protocol'],
  ['closes in the middle', (socket) => socket.end(Buffer.from([0, 10, 1])), 'protocol'],
  ['says something else', (socket) => socket.write(Buffer.from([0, 1, 7])), 'protocol'],
  ['says nothing', () => undefined, 'timeout'],
  ['never ends', (socket) => socket.write(Buffer.from([0xff, 0xff, 1])), 'timeout'],
])('TCP: a server that %s', async (_, answer, code) => {
  await using server = await tcpServer(answer)
  const timeoutMs = code === 'timeout' ? 300 : 20_000
  expect(await codeOf(exchangeTcp(server.target, question, { timeoutMs, isAnswer }))).toBe(code)
})
