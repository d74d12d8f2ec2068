import type { AnswerFraming } from './splice-answer.ts'
import { createChunkScanner } from './splice-chunks.ts'

/** Follows the body of one answer, by its framing. */
export type BodyReader = {
  /**
   * Reads on from `from`; false where the bytes are no such body, or where more comes than belongs to it. Then
   * nothing of them may be passed on.
   */
  read(bytes: Buffer, from: number): boolean
  /** The body is whole. */
  readonly isDone: boolean
  /** The upstream has ended its side: whether the body is whole by that. */
  endsHere(): boolean
  /** What of the last piece is passed on, from, to, from, to. */
  readonly kept: readonly number[]
  /** Bytes of the body itself in the last piece: no framing. */
  readonly dataBytes: number
}

/** Makes readers for the answers of one connection, one at a time: the most usual kind is used again. */
export function createBodyReaders(): (framing: AnswerFraming) => BodyReader {
  const one = counted()
  return (framing) => {
    if (framing === 'chunked') return chunked()
    if (framing === 'until-close') return untilClose()
    one.begin(framing === 'none' ? 0 : framing)
    return one
  }
}

function counted(): BodyReader & { begin(length: number): void } {
  const kept = [0, 0]
  let left = 0
  return {
    begin(length) {
      left = length
    },
    read(bytes, from) {
      kept[0] = from
      kept[1] = bytes.length
      left -= bytes.length - from
      return left >= 0
    },
    get isDone() {
      return left === 0
    },
    endsHere: () => false,
    kept,
    get dataBytes() {
      return lengthOf(kept)
    },
  }
}

function chunked(): BodyReader {
  const scanner = createChunkScanner()
  return {
    read: (bytes, from) => scanner.scan(bytes, from) === bytes.length,
    get isDone() {
      return scanner.isDone
    },
    endsHere: () => false,
    kept: scanner.kept,
    get dataBytes() {
      return scanner.dataBytes
    },
  }
}

function untilClose(): BodyReader {
  const kept = [0, 0]
  return {
    read(bytes, from) {
      kept[0] = from
      kept[1] = bytes.length
      return true
    },
    isDone: false,
    endsHere: () => true,
    kept,
    get dataBytes() {
      return lengthOf(kept)
    },
  }
}

function lengthOf([from = 0, to = 0]: readonly number[]): number {
  return to - from
}
