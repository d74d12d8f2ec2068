import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../test/publish-rig.ts'
import { frameSocket } from './frame-socket.ts'
import { encodeFrame, FrameReader, MAX_FRAME_BYTES } from './frames.ts'

const LIMIT_MS = 30_000

/** Two ends of one real socket. */
async function socketPair(): Promise<AsyncDisposable & { near: Socket; far: Socket }> {
  const folder = temporaryFolder()
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(join(folder.path, 's'), resolve))
  const near = connect(join(folder.path, 's'))
  const [far] = (await once(server, 'connection')) as [Socket]
  return {
    near,
    far,
    async [Symbol.asyncDispose]() {
      near.destroy()
      far.destroy()
      server.close()
      await folder[Symbol.asyncDispose]()
    },
  }
}

test('frames come back whole, however the bytes are cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.jsonValue(), { maxLength: 5 }),
      fc.array(fc.integer({ min: 1, max: 40 })),
      (messages, cuts) => {
        const bytes = Buffer.concat(messages.map((message) => encodeFrame({ message })))
        const reader = new FrameReader()
        const found: unknown[] = []
        let offset = 0
        for (let index = 0; offset < bytes.length; index++) {
          const end = offset + (cuts[index % Math.max(1, cuts.length)] ?? 7)
          reader.push(bytes.subarray(offset, end))
          offset = end
          for (let next = reader.next(); next !== undefined; next = reader.next()) found.push(next)
        }
        expect(JSON.stringify(found)).toBe(JSON.stringify(messages.map((message) => ({ message }))))
      },
    ),
  )
})

test('frames and raw bytes share a connection', async () => {
  await using pair = await socketPair()
  const [near, far] = [frameSocket(pair.near), frameSocket(pair.far)]
  const content = Buffer.alloc(3_000_000, 'content')
  const sending = (async () => {
    await near.send({ bytes: content.length }, LIMIT_MS)
    await near.sendRaw(Readable.from([content.subarray(0, 10), content.subarray(10)]), AbortSignal.timeout(LIMIT_MS))
    await near.send({ after: true }, LIMIT_MS)
  })()
  expect(await far.receive(LIMIT_MS)).toEqual({ bytes: content.length })
  const chunks = await Array.fromAsync(far.receiveRaw(content.length, LIMIT_MS))
  expect(Buffer.concat(chunks).equals(content)).toBe(true)
  expect(await far.receive(LIMIT_MS)).toEqual({ after: true })
  await sending
  near.close()
  expect(await far.receive(LIMIT_MS)).toBeUndefined()
})

test('a peer that ends in the middle of a blob, is silent, or announces too much, is an error', async () => {
  await using pair = await socketPair()
  const far = frameSocket(pair.far)
  pair.near.end(encodeFrame({ bytes: 10 }))
  expect(await far.receive(LIMIT_MS)).toEqual({ bytes: 10 })
  await expect(Array.fromAsync(far.receiveRaw(10, LIMIT_MS))).rejects.toThrow(/too early/)

  await using quiet = await socketPair()
  await expect(frameSocket(quiet.far).receive(20)).rejects.toThrow(/silent/)
  expect(quiet.far.destroyed).toBe(true)

  await using loud = await socketPair()
  const head = Buffer.alloc(4)
  head.writeUInt32BE(MAX_FRAME_BYTES + 1)
  loud.near.write(head)
  await expect(frameSocket(loud.far).receive(LIMIT_MS)).rejects.toThrow(/above the limit/)
})
