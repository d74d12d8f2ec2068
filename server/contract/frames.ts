/** Largest frame that either side sends or takes. */
export const MAX_FRAME_BYTES = 8 * 1024 * 1024

const HEAD_BYTES = 4

/** The peer sent what is no frame: the connection is of no more use. */
export class FrameError extends Error {
  override name = 'FrameError'
}

/** One message as bytes: length (32 bit, big-endian), then JSON in UTF-8. Throws `FrameError` above the limit. */
export function encodeFrame(message: unknown): Buffer {
  const body = Buffer.from(JSON.stringify(message))
  if (body.length > MAX_FRAME_BYTES) throw new FrameError(`a frame of ${body.length} bytes is above the limit`)
  const head = Buffer.allocUnsafe(HEAD_BYTES)
  head.writeUInt32BE(body.length)
  return Buffer.concat([head, body])
}

/**
 * Takes bytes as they come and gives frames back. Between frames a reader may switch to raw bytes
 * (`takeRaw`) for a blob that follows its head.
 */
export class FrameReader {
  #chunks: Buffer[] = []
  #length = 0

  /** Adds what came from the socket. */
  push(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#length += chunk.length
  }

  /** The next whole message, or undefined. Throws `FrameError` for an oversized or malformed frame. */
  next(): unknown {
    if (this.#length < HEAD_BYTES) return undefined
    const size = this.#peek(HEAD_BYTES).readUInt32BE()
    if (size > MAX_FRAME_BYTES) throw new FrameError(`a frame of ${size} bytes is above the limit`)
    if (this.#length < HEAD_BYTES + size) return undefined
    const body = this.#take(HEAD_BYTES + size).subarray(HEAD_BYTES)
    try {
      return JSON.parse(body.toString('utf8'))
    } catch (cause) {
      throw new FrameError('a frame is not JSON', { cause })
    }
  }

  /** Up to `limit` buffered raw bytes; empty when there are none. */
  takeRaw(limit: number): Buffer {
    return this.#take(Math.min(limit, this.#length))
  }

  #peek(bytes: number): Buffer {
    const first = this.#chunks[0]
    if (first !== undefined && first.length >= bytes) return first
    this.#chunks = [Buffer.concat(this.#chunks)]
    return this.#chunks[0] ?? Buffer.alloc(0)
  }

  #take(bytes: number): Buffer {
    if (bytes === 0) return Buffer.alloc(0)
    const all = this.#peek(bytes)
    const rest = all.subarray(bytes)
    if (rest.length === 0) this.#chunks.shift()
    else this.#chunks[0] = rest
    this.#length -= bytes
    return all.subarray(0, bytes)
  }
}
