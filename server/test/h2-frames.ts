import { once } from 'node:events'
import tls from 'node:tls'

/** HTTP/2 frames as bytes (RFC 9113), for what no library would send. */
export const frameTypes = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const

/** Flags of `frame`. ACK is for SETTINGS and PING. */
export const flags = { endStream: 1, ack: 1, endHeaders: 4 } as const

/** A header field as it goes on the wire, latin1. */
export type RawField = readonly [name: string, value: string]

/** One frame. */
export function frame(type: number, flag: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flag
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** Fields as literals that nobody indexes and that are not Huffman-coded (RFC 7541 section 6.2.2). */
export function literals(fields: readonly RawField[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]))
}

/** A literal that enters the dynamic table (RFC 7541 section 6.2.1). */
export function indexed(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0x40]), text(name), text(value)])
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1')
  return Buffer.concat([integer(bytes.length, 7), bytes])
}

/** An integer with a prefix of `bits` (RFC 7541 section 5.1). */
function integer(value: number, bits: number): Buffer {
  const most = 2 ** bits - 1
  if (value < most) return Buffer.from([value])
  const bytes = [most]
  let rest = value - most
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128)
  return Buffer.from([...bytes, rest])
}

/** A SETTINGS frame: identifier, value. */
export function settings(pairs: readonly (readonly [number, number])[] = []): Buffer {
  const payload = Buffer.alloc(pairs.length * 6)
  pairs.forEach(([id, value], at) => {
    payload.writeUInt16BE(id, at * 6)
    payload.writeUInt32BE(value, at * 6 + 2)
  })
  return frame(frameTypes.settings, 0, 0, payload)
}

/** A frame with one number: WINDOW_UPDATE or RST_STREAM. */
export function numbered(type: number, stream: number, value: number): Buffer {
  const payload = Buffer.alloc(4)
  payload.writeUInt32BE(value)
  return frame(type, 0, stream, payload)
}

/** What came of one stream or of the whole connection. */
export type FrameAnswer = {
  /** Streams that were answered with 200, whole or not. */
  readonly ok: ReadonlySet<number>
  /** Streams that were answered with something else. */
  readonly refused: ReadonlySet<number>
  /** Streams that ended, well or by a reset. */
  readonly ended: ReadonlySet<number>
  readonly goaway: boolean
}

/** A connection that is spoken to in frames. It answers nothing by itself but SETTINGS. */
export type FrameConnection = {
  readonly socket: tls.TLSSocket
  readonly answer: FrameAnswer
  readonly isClosed: () => boolean
  /** Waits until the buffer has left or the connection is closed; false then. */
  send(bytes: Buffer): Promise<boolean>
  /** Waits until `isEnough` or the connection is closed. Throws when neither happens. */
  until(isEnough: (answer: FrameAnswer) => boolean): Promise<FrameAnswer>
}

const LIMIT_MS = 60_000

/** Opens a connection and sends preface and settings. `isReading` false: nothing is ever read after the handshake. */
export async function openFrames(
  target: { readonly port: number; readonly serverName: string },
  options: { readonly settings?: readonly (readonly [number, number])[]; readonly isReading?: boolean } = {},
): Promise<FrameConnection> {
  const socket = tls.connect({
    host: '127.0.0.1',
    port: target.port,
    servername: target.serverName,
    ALPNProtocols: ['h2'],
    rejectUnauthorized: false,
  })
  await once(socket, 'secureConnect')
  socket.on('error', () => undefined)
  const answer = { ok: new Set<number>(), refused: new Set<number>(), ended: new Set<number>(), goaway: false }
  let isClosed = false
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => {
      isClosed = true
      resolve()
    })
  })
  let wake = (): void => undefined
  let buffered: Buffer<ArrayBuffer> = Buffer.alloc(0)
  if (options.isReading === false) socket.pause()
  else {
    socket.on('data', (piece: Buffer) => {
      buffered = note(Buffer.concat([buffered, piece]), answer, socket)
      wake()
    })
  }
  socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
  socket.write(settings(options.settings))
  return {
    socket,
    answer,
    isClosed: () => isClosed,
    async send(bytes) {
      if (isClosed || socket.destroyed) return false
      if (!socket.write(bytes)) await Promise.race([once(socket, 'drain').catch(() => undefined), closed])
      return !isClosed
    },
    async until(isEnough) {
      const limit = Date.now() + LIMIT_MS
      while (!isClosed && !isEnough(answer)) {
        if (Date.now() > limit) throw new Error('neither answered nor closed')
        await Promise.race([new Promise<void>((resolve) => (wake = resolve)), closed])
      }
      return answer
    },
  }
}

type Notes = { ok: Set<number>; refused: Set<number>; ended: Set<number>; goaway: boolean }

/** Takes whole frames off the front; gives what is left. */
function note(bytes: Buffer, answer: Notes, socket: tls.TLSSocket): Buffer<ArrayBuffer> {
  let at = 0
  while (bytes.length - at >= 9) {
    const size = bytes.readUIntBE(at, 3)
    if (bytes.length - at < 9 + size) break
    const payload = bytes.subarray(at + 9, at + 9 + size)
    noteFrame(bytes[at + 3] ?? 0, bytes[at + 4] ?? 0, bytes.readUInt32BE(at + 5), payload, answer, socket)
    at += 9 + size
  }
  return Buffer.from(bytes.subarray(at))
}

function noteFrame(
  type: number,
  flag: number,
  stream: number,
  payload: Buffer,
  answer: Notes,
  socket: tls.TLSSocket,
): void {
  const isEnd = (flag & flags.endStream) !== 0
  if (type === frameTypes.headers || type === frameTypes.data) {
    if (type === frameTypes.headers && !answer.ok.has(stream)) (isOk(payload) ? answer.ok : answer.refused).add(stream)
    if (isEnd) answer.ended.add(stream)
  } else if (type === frameTypes.reset) {
    answer.ended.add(stream)
    answer.refused.add(stream)
  } else if (type === frameTypes.goaway) answer.goaway = true
  else if (type === frameTypes.settings && !isEnd) socket.write(frame(frameTypes.settings, flags.ack, 0))
}

/** Whether a block begins with `:status 200` (index 8 of the static table), after updates of the table's size. */
function isOk(block: Buffer): boolean {
  let at = 0
  while (((block[at] ?? 0) & 0xe0) === 0x20) {
    if (((block[at] ?? 0) & 0x1f) === 0x1f) while (((block[++at] ?? 0) & 0x80) !== 0);
    at += 1
  }
  return block[at] === 0x88
}
