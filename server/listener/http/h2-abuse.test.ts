import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTestAuthority } from '../../test/certificates.ts'
import {
  type FrameConnection,
  flags,
  frame,
  frameTypes,
  indexed,
  literals,
  numbered,
  openFrames,
  settings,
} from '../../test/h2-frames.ts'
import { request } from '../../test/http-requests.ts'
import { type ListenerRig, nameRecord, runtimes, siteRecord, startListenerRig } from '../../test/listener-rig.ts'
import { run } from '../../test/visit.ts'
import { MAX_OPEN_DOWNLOADS } from './limits.ts'

const MIB = 1024 * 1024
/** More than a worker may keep of all attacks together; each of them sends or asks for more. */
const MOST_GROWTH_BYTES = 256 * MIB
const LARGE_BYTES = 8 * MIB
const SETTINGS_INITIAL_WINDOW_SIZE = 4

const head = (path = '/'): Buffer =>
  literals([
    [':method', 'GET'],
    [':path', path],
    [':scheme', 'https'],
    [':authority', 'a.example.com'],
  ])
const get = (stream: number, path?: string): Buffer =>
  frame(frameTypes.headers, flags.endHeaders | flags.endStream, stream, head(path))
const streams = (count: number): number[] => Array.from({ length: count }, (_, at) => at * 2 + 1)

describe.each(runtimes)('HTTP/2 abuse on %s', (runtime) => {
  let rig: ListenerRig
  let pids: readonly number[]
  let before = 0

  beforeAll(async () => {
    const certificate = await (await createTestAuthority()).issue(['a.example.com', 'b.example.com'])
    rig = await startListenerRig({
      runtime,
      records: (parts) => [
        parts.certificate(certificate),
        nameRecord('a.example.com', 'a', certificate),
        nameRecord('b.example.com', 'b', certificate),
        siteRecord('a', {
          manifest: parts.release({ 'index.html': 'A', 'large.txt': Buffer.alloc(LARGE_BYTES, 'x') }),
        }),
        siteRecord('b', { manifest: parts.release({ 'index.html': 'B' }) }),
      ],
    })
    await neighbour()
    pids = rig.pids()
    before = memory()
  })
  afterAll(() => rig?.close())

  const target = (): { port: number; serverName: string } => ({ port: rig.httpsPort, serverName: 'a.example.com' })
  const memory = (): number => {
    const kib = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${rig.pids()[0]}/status`, 'utf8'))?.[1]
    return Number(kib) * 1024
  }
  /** Another site of the same worker is served, over both protocols. */
  const neighbour = async (): Promise<void> => {
    const ask = { port: rig.httpsPort, host: 'b.example.com' }
    const answers = await Promise.all([request(ask), request({ ...ask, protocol: 'h2' })])
    expect(answers.map(({ body }) => body.toString())).toEqual(['B', 'B'])
  }
  const isUnharmed = async (): Promise<void> => {
    await neighbour()
    expect(rig.pids()).toEqual(pids)
    expect(memory() - before).toBeLessThan(MOST_GROWTH_BYTES)
  }

  /** Sends `piece` again and again, at most so often, until the connection is closed; a neighbour is served meanwhile. */
  const flood = async (
    connection: FrameConnection,
    most: number,
    piece: (turn: number) => Buffer,
  ): Promise<boolean> => {
    const sending = (async () => {
      for (let turn = 0; turn < most; turn += 1) {
        if (!(await connection.send(piece(turn)))) return
        // What the server says has to be read, or its goodbye is never seen.
        if (turn % 8 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
    })()
    await neighbour()
    await sending
    return connection.isClosed() || connection.answer.goaway
  }
  const repeat = (count: number, one: Buffer): Buffer => Buffer.concat(Array.from({ length: count }, () => one))

  test('rapid resets end the connection', async () => {
    const connection = await openFrames(target())
    let stream = -1
    const isOver = await flood(connection, 4_000, () =>
      Buffer.concat(
        Array.from({ length: 100 }, () => {
          stream += 2
          return Buffer.concat([get(stream), numbered(frameTypes.reset, stream, 8)])
        }),
      ),
    )
    expect(isOver).toBe(true)
    await isUnharmed()
  })

  test.each([
    ['PING', () => frame(frameTypes.ping, 0, 0, Buffer.alloc(8))],
    ['SETTINGS', () => settings([[SETTINGS_INITIAL_WINDOW_SIZE, 65_535]])],
    ['empty SETTINGS', () => settings()],
    ['WINDOW_UPDATE', () => numbered(frameTypes.windowUpdate, 0, 1)],
    ['PRIORITY', () => frame(frameTypes.priority, 0, 1, Buffer.from([0, 0, 0, 0, 1]))],
    ['unknown frames', () => frame(0x77, 0, 0, Buffer.alloc(16))],
  ])('a flood of %s does not stop the worker, which keeps nothing of it', async (_name, one) => {
    const connection = await openFrames(target())
    await flood(connection, 400, () => repeat(500, one()))
    connection.socket.destroy()
    await isUnharmed()
  })

  test.each([
    ['PING', () => frame(frameTypes.ping, 0, 0, Buffer.alloc(8))],
    ['SETTINGS', () => settings()],
  ])('answers to %s that nobody reads are not piled up', async (_name, one) => {
    const connection = await openFrames(target(), { isReading: false })
    const sending = (async () => {
      for (let turn = 0; turn < 400; turn += 1) if (!(await connection.send(repeat(500, one())))) return
    })()
    await neighbour()
    // A server that stops reading stops the sender: then this is as far as it goes.
    await Promise.race([sending, new Promise((resolve) => setTimeout(resolve, 3_000))])
    await isUnharmed()
    connection.socket.destroy()
  })

  test('a head in endless CONTINUATION frames ends the connection', async () => {
    const connection = await openFrames(target())
    await connection.send(frame(frameTypes.headers, flags.endStream, 1, head()))
    const piece = frame(frameTypes.continuation, 0, 1, literals([['x', 'y'.repeat(1_000)]]))
    expect(await flood(connection, 10_000, () => piece)).toBe(true)
    await isUnharmed()
  })

  test('empty CONTINUATION frames without end do not stop the worker', async () => {
    const connection = await openFrames(target())
    await connection.send(frame(frameTypes.headers, flags.endStream, 1, head()))
    await flood(connection, 400, () => repeat(500, frame(frameTypes.continuation, 0, 1)))
    connection.socket.destroy()
    await isUnharmed()
  })

  test('a small block that unpacks to megabytes is refused', async () => {
    const connection = await openFrames(target())
    // 4,000 bytes enter the table once and are named 10,000 times by one byte each.
    const bomb = Buffer.concat([head(), indexed('x', 'y'.repeat(3_900)), Buffer.alloc(10_000, 0x80 | 62)])
    await connection.send(frame(frameTypes.headers, flags.endHeaders | flags.endStream, 1, bomb))
    const { ok, ended } = await connection.until(({ ended, goaway }) => ended.has(1) || goaway)
    expect([ok.has(1), ended.has(1) || connection.answer.goaway || connection.isClosed()]).toEqual([false, true])
    connection.socket.destroy()
    await isUnharmed()
  })

  test('what breaks the protocol ends the stream or the connection', async () => {
    for (const bytes of [
      frame(frameTypes.headers, flags.endHeaders | flags.endStream, 1, Buffer.alloc(100, 0xff)),
      get(2),
      frame(frameTypes.data, 0, 1, Buffer.alloc(10)),
      frame(frameTypes.headers, flags.endHeaders, 0, head()),
      frame(frameTypes.data, 0, 1, Buffer.alloc(20_000)),
      numbered(frameTypes.windowUpdate, 0, 0),
      settings([[SETTINGS_INITIAL_WINDOW_SIZE, 2 ** 32 - 1]]),
      frame(frameTypes.settings, 0, 0, Buffer.alloc(5)),
    ]) {
      const connection = await openFrames(target())
      await connection.send(bytes)
      await connection.until(({ ended, goaway }) => ended.size > 0 || goaway)
      connection.socket.destroy()
    }
    await isUnharmed()
  })

  test('1,000 streams at once are answered or refused, each of them', async () => {
    const connection = await openFrames(target())
    await connection.send(Buffer.concat(streams(1_000).map((stream) => get(stream))))
    const { ended } = await connection.until(({ ended, goaway }) => goaway || ended.size === 1_000)
    expect(ended.size > 0 || connection.answer.goaway || connection.isClosed()).toBe(true)
    connection.socket.destroy()
    await isUnharmed()
  })

  test('empty DATA frames without end do not stop the worker', async () => {
    const connection = await openFrames(target())
    await connection.send(frame(frameTypes.headers, flags.endHeaders, 1, head()))
    await flood(connection, 400, () => repeat(500, frame(frameTypes.data, 0, 1)))
    connection.socket.destroy()
    await isUnharmed()
  })

  test('a client with closed windows that asks for a large file a hundred times costs no memory', async () => {
    const connections = await Promise.all(
      Array.from({ length: 4 }, () => openFrames(target(), { settings: [[SETTINGS_INITIAL_WINDOW_SIZE, 0]] })),
    )
    for (const one of connections)
      await one.send(Buffer.concat(streams(100).map((stream) => get(stream, '/large.txt'))))
    await Promise.all(connections.map((one) => one.until(({ ok, goaway }) => goaway || ok.size >= MAX_OPEN_DOWNLOADS)))
    await isUnharmed()
    for (const one of connections) one.socket.destroy()
  })

  test('large files that are asked for and reset while others take all places stay closed', async () => {
    const descriptors = (): number => readdirSync(`/proc/${pids[0]}/fd`).length
    const connection = await openFrames(target(), { settings: [[SETTINGS_INITIAL_WINDOW_SIZE, 0]] })
    const held = streams(16)
    await connection.send(Buffer.concat(held.map((stream) => get(stream, '/large.txt'))))
    await connection.until(({ ok, goaway }) => goaway || ok.size >= MAX_OPEN_DOWNLOADS)
    const open = descriptors()
    const others = streams(416).slice(held.length)
    // The stream at the end is answered from memory: all before it have been read by then.
    for (let at = 0; at < others.length; at += 80) {
      const asked = others.slice(at, at + 80)
      const resets = asked.slice(0, -1).map((stream) => numbered(frameTypes.reset, stream, 8))
      const asks = asked.map((stream) => get(stream, stream === asked.at(-1) ? '/' : '/large.txt'))
      await connection.send(Buffer.concat([...asks, ...resets]))
      await connection.until(({ ok, goaway }) => goaway || ok.has(asked.at(-1) as number))
    }
    expect(connection.answer.goaway || connection.isClosed()).toBe(false)
    await neighbour()
    await expect.poll(descriptors, { timeout: 10_000 }).toBeLessThan(open + 50)
    connection.socket.destroy()
    await isUnharmed()
  })

  test('a client that never reads, and one that reads a byte at a time, cost no memory', async () => {
    const window = [[SETTINGS_INITIAL_WINDOW_SIZE, 2 ** 31 - 1]] as const
    const wide = numbered(frameTypes.windowUpdate, 0, 2 ** 30)
    const ask = Buffer.concat([wide, ...streams(100).map((stream) => get(stream, '/large.txt'))])
    const deaf = await openFrames(target(), { settings: window, isReading: false })
    await deaf.send(ask)
    const narrow = await openFrames(target(), { settings: [[SETTINGS_INITIAL_WINDOW_SIZE, 1]] })
    await narrow.send(Buffer.concat(streams(100).map((stream) => get(stream, '/large.txt'))))
    for (let turn = 0; turn < 50; turn += 1)
      await narrow.send(Buffer.concat(streams(100).map((stream) => numbered(frameTypes.windowUpdate, stream, 1))))
    await neighbour()
    await isUnharmed()
    deaf.socket.destroy()
    narrow.socket.destroy()
  })

  test('what h2load asks for is answered while all that goes on, and after it', async () => {
    const url = `https://a.example.com:${rig.httpsPort}/`
    const args = ['-n', '2000', '-c', '4', '-m', '50', '--connect-to', `127.0.0.1:${rig.httpsPort}`, url]
    const attacker = await openFrames(target())
    const attack = flood(attacker, 100, () => repeat(500, frame(frameTypes.ping, 0, 0, Buffer.alloc(8))))
    const { stdout } = await run('h2load', args)
    await attack
    attacker.socket.destroy()
    expect(stdout).toMatch(/2000 succeeded, 0 failed, 0 errored/)
    await neighbour()
    expect(rig.pids()).toEqual(pids)
  })
})
