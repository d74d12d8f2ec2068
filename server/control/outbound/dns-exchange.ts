import { createSocket } from 'node:dgram'
import { connect, isIPv6 } from 'node:net'
import { DialError } from './dialler.ts'

/** Where a message goes: an address that was judged, never a name. */
export type DnsTarget = { readonly address: string; readonly port: number }

/** `timeoutMs` is for the whole exchange; `isAnswer` tells an answer to this question from strays. */
export type DnsExchange = {
  readonly timeoutMs: number
  readonly isAnswer: (message: Buffer) => boolean
  readonly signal?: AbortSignal | undefined
  /** UDP alone: it is sent once more after so long, since packets get lost. */
  readonly resendMs?: number
}

/** Sends one DNS message by UDP and gives the first answer that is one. Throws `DialError`. */
export function exchangeUdp(target: DnsTarget, message: Buffer, options: DnsExchange): Promise<Buffer> {
  const socket = createSocket(isIPv6(target.address) ? 'udp6' : 'udp4')
  let again: NodeJS.Timeout | undefined
  return withLimits(
    options,
    () => {
      clearTimeout(again)
      socket.close()
    },
    (resolve, reject) => {
      socket.on('error', (error) => reject(unreachable(error)))
      socket.on('message', (answer) => {
        if (options.isAnswer(answer)) resolve(answer)
      })
      // A connected socket hears the target alone, and learns at once that nothing listens there.
      socket.on('connect', () => {
        socket.send(message, () => undefined)
        if (options.resendMs !== undefined)
          again = setTimeout(() => socket.send(message, () => undefined), options.resendMs)
      })
      socket.connect(target.port, target.address)
    },
  )
}

/** Sends one DNS message by TCP, its length before it (RFC 1035 section 4.2.2), and gives the answer. Throws `DialError`. */
export function exchangeTcp(target: DnsTarget, message: Buffer, options: DnsExchange): Promise<Buffer> {
  const socket = connect({ host: target.address, port: target.port })
  return withLimits(
    options,
    () => socket.destroy(),
    (resolve, reject) => {
      let pending = Buffer.alloc(0)
      socket.on('error', (error) => reject(unreachable(error)))
      socket.on('close', () => reject(new DialError('protocol', 'the connection was closed without an answer')))
      socket.on('data', (chunk: Buffer) => {
        pending = Buffer.concat([pending, chunk])
        const length = pending.length < 2 ? null : pending.readUInt16BE(0)
        if (length === null || pending.length < 2 + length) return
        const answer = pending.subarray(2, 2 + length)
        if (options.isAnswer(answer)) resolve(answer)
        else reject(new DialError('protocol', 'what answers there does not speak DNS'))
      })
      const size = Buffer.alloc(2)
      size.writeUInt16BE(message.length)
      socket.write(Buffer.concat([size, message]))
    },
  )
}

async function withLimits(
  { timeoutMs, signal }: DnsExchange,
  close: () => void,
  work: (resolve: (answer: Buffer) => void, reject: (error: Error) => void) => void,
): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const late = (): void => reject(new DialError('timeout', 'it did not answer in time'))
  const timer = setTimeout(late, timeoutMs)
  signal?.addEventListener('abort', late, { once: true })
  try {
    if (signal?.aborted === true) late()
    work(resolve, reject)
    return await promise
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', late)
    close()
  }
}

function unreachable(error: NodeJS.ErrnoException): DialError {
  const isRefused = error.code === 'ECONNREFUSED'
  return new DialError('connect', isRefused ? 'nothing answers there' : `it cannot be reached (${error.code ?? ''})`)
}
