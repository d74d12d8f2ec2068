import http2 from 'node:http2'
import { setTimeout as sleep } from 'node:timers/promises'
import tls from 'node:tls'
import { visit } from './visit.ts'

/** Between two requests of one client: the machine has others to serve. */
const PAUSE_MS = 3

/** A request that is not answered by then has failed. */
const PATIENCE_MS = 15_000

/** Whom the clients ask, and what a right answer is. */
export type LoadTarget = {
  readonly port: number
  readonly serverName: string
  readonly ca: string
  /** Whether an answer is right; default every status below 500. */
  readonly isRight?: (status: number, body: string) => boolean
}

/** What the clients saw: every request that was not answered rightly, whatever the reason, is a failure. */
export type LoadResult = { readonly answered: number; readonly failures: readonly string[] }

/** Clients that ask without an end. */
export type SteadyLoad = {
  /** Requests that were answered so far. */
  readonly answered: () => number
  readonly failures: () => readonly string[]
  stop(): Promise<LoadResult>
}

type Ask = () => Promise<{ status: number; body: string }>

/**
 * Starts strict clients, none of which tries anything again: `fresh` ones with a connection for each
 * request, `kept` ones that keep theirs until they are told that it ends, and `streams` on HTTP/2
 * sessions that they leave when they are told to.
 */
export function startSteadyLoad(
  target: LoadTarget,
  clients: { readonly fresh?: number; readonly kept?: number; readonly streams?: number },
): SteadyLoad {
  const isRight = target.isRight ?? ((status: number) => status < 500)
  const failures: string[] = []
  let answered = 0
  let isStopped = false
  const run = async (kind: string, ask: Ask): Promise<void> => {
    while (!isStopped) {
      try {
        const { status, body } = await inTime(ask())
        if (isRight(status, body)) answered += 1
        else failures.push(`${kind}: ${status} ${body.slice(0, 80)}`)
      } catch (error) {
        failures.push(`${kind}: ${(error as NodeJS.ErrnoException).code ?? ''} ${(error as Error).message}`)
      }
      await sleep(PAUSE_MS)
    }
  }
  const ends: (() => void)[] = []
  const many = (count: number, kind: string, make: () => { ask: Ask; end: () => void }): Promise<void>[] =>
    Array.from({ length: count }, () => {
      const { ask, end } = make()
      ends.push(end)
      return run(kind, ask)
    })
  const running = [
    ...many(clients.fresh ?? 0, 'fresh', () => ({ ask: () => visit(target), end: () => undefined })),
    ...many(clients.kept ?? 0, 'kept', () => keptClient(target)),
    ...many(clients.streams ?? 0, 'stream', () => streamClient(target)),
  ]
  return {
    answered: () => answered,
    failures: () => failures,
    async stop() {
      isStopped = true
      await Promise.all(running)
      for (const end of ends) end()
      return { answered, failures }
    },
  }
}

async function inTime<T>(answer: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error('no answer in time')), PATIENCE_MS)
  try {
    return await Promise.race([answer, promise])
  } finally {
    clearTimeout(timer)
  }
}

function keptClient({ port, serverName, ca }: LoadTarget): { ask: Ask; end: () => void } {
  let socket: tls.TLSSocket | null = null
  const ask: Ask = async () => {
    socket ??= await new Promise<tls.TLSSocket>((resolve, reject) => {
      const fresh = tls.connect({ port, host: '127.0.0.1', servername: serverName, ca }, () => resolve(fresh))
      fresh.on('error', reject)
      fresh.once('close', () => reject(new Error('closed in the handshake')))
    })
    const used = socket
    const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>()
    let text = ''
    const fail = (error?: Error): void => reject(error ?? new Error(`closed after "${text.slice(0, 40)}"`))
    const hear = (chunk: Buffer): void => {
      text += chunk.toString('latin1')
      const head = text.indexOf('\r\n\r\n')
      if (head < 0) return
      const length = Number(/^content-length: (\d+)/im.exec(text)?.[1] ?? 0)
      if (text.length < head + 4 + length) return
      if (/^connection: close/im.test(text.slice(0, head))) {
        socket = null
        used.end()
      }
      resolve({ status: Number(text.slice(9, 12)), body: text.slice(head + 4) })
    }
    used.on('data', hear).once('error', fail).once('close', fail)
    used.write(`GET / HTTP/1.1\r\nHost: ${serverName}\r\n\r\n`)
    try {
      return await promise
    } catch (error) {
      socket = null
      throw error
    } finally {
      used.off('data', hear).off('close', fail).off('error', fail)
    }
  }
  return { ask, end: () => socket?.destroy() }
}

/**
 * A session that was told to end is left. A request that the GOAWAY met before it was sent is refused by
 * the client's own library, or by the server unseen; it goes to the next session, as RFC 9113 section 8.7
 * has it. Any other end of a stream is a failure.
 */
function streamClient({ port, serverName, ca }: LoadTarget): { ask: Ask; end: () => void } {
  let session: http2.ClientHttp2Session | null = null
  const told = new WeakSet<http2.ClientHttp2Session>()
  const open = (): http2.ClientHttp2Session => {
    const fresh = http2.connect(`https://127.0.0.1:${port}`, { servername: serverName, ca })
    fresh.on('error', () => undefined)
    fresh.once('goaway', (code) => {
      if (code === http2.constants.NGHTTP2_NO_ERROR) told.add(fresh)
    })
    return fresh
  }
  const ask: Ask = async () => {
    if (session === null || session.closed || session.destroyed || told.has(session)) session = open()
    const used = session
    const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>()
    const stream = used.request({ ':path': '/', ':authority': serverName })
    let status = 0
    let body = ''
    stream.once('response', (headers) => {
      status = Number(headers[':status'])
    })
    stream.setEncoding('latin1').on('data', (chunk: string) => {
      body += chunk
    })
    stream.once('error', reject)
    stream.once('close', () =>
      status === 0 ? reject(new Error('the stream ended unanswered')) : resolve({ status, body }),
    )
    return promise.catch((error: Error) => {
      const wasUnseen = told.has(used) && stream.rstCode === http2.constants.NGHTTP2_REFUSED_STREAM
      if (!wasUnseen) throw error
      session = null
      return ask()
    })
  }
  return { ask, end: () => session?.destroy() }
}
