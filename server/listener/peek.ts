import type { Socket } from 'node:net'

/** Not enough bytes yet: not to be asked again before `atLeast` are there. */
export type Wait = { readonly kind: 'wait'; readonly atLeast: number }

/** What is done with the first bytes of a connection. */
export type Peek<V> = {
  /** Bytes that came already. */
  readonly begun: Buffer
  readonly judge: (first: Buffer) => V | Wait
  /** Called once, with the socket paused, all bytes so far, and what they are. */
  readonly done: (first: Buffer, verdict: V) => void
  /** Something threw; the socket is paused. */
  readonly failed: (error: Error) => void
}

/** Collects the first bytes of a socket until `judge` knows what they are. Never throws. */
export function peekAt<V extends { readonly kind: string }>(
  socket: Socket,
  { begun, judge, done, failed }: Peek<V>,
): void {
  let chunks: Buffer[] = begun.length === 0 ? [] : [begun]
  let total = begun.length
  let atLeast = 1
  const look = (): boolean => {
    if (total < atLeast) return false
    const first = chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)
    chunks = [first]
    try {
      const verdict = judge(first)
      if (isWait(verdict)) {
        atLeast = verdict.atLeast
        return false
      }
      socket.removeListener('data', hear)
      socket.pause()
      done(first, verdict)
    } catch (error) {
      socket.removeListener('data', hear)
      socket.pause()
      failed(error as Error)
    }
    return true
  }
  const hear = (chunk: Buffer): void => {
    chunks.push(chunk)
    total += chunk.length
    look()
  }
  if (!look()) socket.on('data', hear).resume()
}

function isWait(verdict: { readonly kind: string }): verdict is Wait {
  return verdict.kind === 'wait'
}
