/** Follows a chunked body (RFC 9112 section 7.1) piece by piece, without keeping anything of it. */
export type ChunkScanner = {
  /** Reads on; the index behind what belongs to the body, or -1 where it is no such body (then never called again). */
  scan(bytes: Uint8Array, from: number): number
  /** The body has ended, with the last `scan`. */
  readonly isDone: boolean
  /** What of the last piece is passed on, from, to, from, to: sizes, data and the end; no extensions, no trailers. */
  readonly kept: readonly number[]
  /** Bytes of the body itself in the last piece. */
  readonly dataBytes: number
}

/** Digits of a chunk's size: more than any server sends, fewer than a number holds exactly. */
const MAX_SIZE_DIGITS = 12
/** Extensions and trailers of one body. */
const MAX_DROPPED_BYTES = 16 * 1024
const CR = 13
const LF = 10
const SEMICOLON = 59

type State =
  | 'size'
  | 'extension'
  | 'size-end'
  | 'data'
  | 'data-cr'
  | 'data-lf'
  | 'line'
  | 'trailer'
  | 'trailer-end'
  | 'end'
  | 'done'
  | 'bad'

const DROPPING: ReadonlySet<State> = new Set<State>(['extension', 'trailer', 'trailer-end'])

/** Makes a scanner for one body. */
export function createChunkScanner(): ChunkScanner {
  const kept: number[] = []
  let state: State = 'size'
  let digits = 0
  let left = 0
  let dropped = 0
  let dataBytes = 0
  /** Where what is passed on began; -1 while something is dropped. */
  let runFrom = 0

  const drop = (at: number): void => {
    if (runFrom >= 0 && at > runFrom) kept.push(runFrom, at)
    runFrom = -1
  }
  const data = (there: number): number => {
    const taken = Math.min(left, there)
    left -= taken
    dataBytes += taken
    if (left === 0) state = 'data-cr'
    return taken
  }
  const size = (byte: number, at: number): State => {
    const digit = hexDigit(byte)
    if (digit >= 0) {
      left = left * 16 + digit
      digits += 1
      return digits > MAX_SIZE_DIGITS ? 'bad' : 'size'
    }
    if (digits === 0) return 'bad'
    digits = 0
    if (byte === CR) return 'size-end'
    if (byte !== SEMICOLON) return 'bad'
    drop(at)
    return 'extension'
  }
  const skip = (byte: number, at: number, then: 'size-end' | 'trailer-end', stay: State): State => {
    dropped += 1
    if (byte === CR) {
      if (then === 'size-end') runFrom = at
      return then
    }
    return isText(byte) && dropped <= MAX_DROPPED_BYTES ? stay : 'bad'
  }
  const line = (byte: number, at: number): State => {
    if (byte === CR) return 'end'
    if (byte <= 32 || !isText(byte)) return 'bad'
    drop(at)
    return 'trailer'
  }
  const steps: Record<Exclude<State, 'data' | 'done' | 'bad'>, (byte: number, at: number) => State> = {
    size,
    extension: (byte, at) => skip(byte, at, 'size-end', 'extension'),
    'size-end': (byte) => (byte !== LF ? 'bad' : left === 0 ? 'line' : 'data'),
    'data-cr': (byte) => (byte === CR ? 'data-lf' : 'bad'),
    'data-lf': (byte) => (byte === LF ? 'size' : 'bad'),
    line,
    trailer: (byte, at) => skip(byte, at, 'trailer-end', 'trailer'),
    'trailer-end'(byte, at) {
      if (byte !== LF) return 'bad'
      runFrom = at + 1
      return 'line'
    },
    end: (byte) => (byte === LF ? 'done' : 'bad'),
  }
  return {
    get isDone() {
      return state === 'done'
    },
    kept,
    get dataBytes() {
      return dataBytes
    },
    scan(bytes, from) {
      kept.length = 0
      dataBytes = 0
      runFrom = DROPPING.has(state) ? -1 : from
      let at = from
      while (at < bytes.length && state !== 'done' && state !== 'bad') {
        if (state === 'data') at += data(bytes.length - at)
        else {
          state = steps[state](bytes[at] as number, at)
          at += 1
        }
      }
      drop(at)
      return state === 'bad' ? -1 : at
    },
  }
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48
  const lower = byte | 32
  return lower >= 97 && lower <= 102 ? lower - 87 : -1
}

function isText(byte: number): boolean {
  return byte === 9 || (byte >= 32 && byte !== 127)
}
