import net, { type Socket } from 'node:net'
import tls, { type TLSSocket } from 'node:tls'
import type { ProxyOptions } from '../../contract/site-options.ts'
import type { Deadline, Deadlines } from '../deadlines.ts'
import { hasDescriptors } from '../descriptors.ts'
import { MAX_IDLE_UPSTREAM_SOCKETS, MAX_UPSTREAM_SOCKETS, UPSTREAM_IDLE_MS } from './limits.ts'
import type { UpstreamAddress } from './upstream-address.ts'
import { upstreamTls } from './upstream-agents.ts'
import type { UpstreamReach, UpstreamSite } from './upstream-reach.ts'

/** Whoever uses a connection to an upstream at the moment. None of these may throw. */
export type SocketUser = {
  onBytes(bytes: Buffer): void
  /** The upstream has ended its side. */
  onEnd(): void
  /** It is closed; nothing follows. */
  onGone(): void
  onDeadline(): void
}

/** A connection to an upstream: raw, of one site, with one user at a time. */
export type UpstreamSocket = {
  readonly socket: Socket
  readonly key: object
  readonly deadline: Deadline
  /** It has carried an answer before: it may turn out to be stale. */
  isUsed: boolean
  user: SocketUser | null
}

/** The raw connections of one site. `key` is the upstream that they lead to. */
export type UpstreamSockets = {
  /** One that is idle, the youngest first. */
  take(key: object): UpstreamSocket | null
  /** Whether another one may be opened. */
  readonly hasRoom: boolean
  /**
   * Opens one; TLS is up when `done` is called. Nothing is called after the returned function was: it gives up.
   * The time for all of it is the caller's to keep; a single address gets its share of `connectTimeoutMs`.
   */
  open(
    key: object,
    address: UpstreamAddress,
    done: (error: Error | null, opened: UpstreamSocket | null) => void,
  ): () => void
  /** Back to the idle ones; only after an answer that has ended as it should. */
  release(used: UpstreamSocket): void
  readonly isQuiet: boolean
  /** Ends the idle ones; the others end after their answer. */
  close(): void
}

/** Makes the pool of one site. */
export function createUpstreamSockets(
  site: UpstreamSite,
  options: ProxyOptions,
  deps: { readonly reach: UpstreamReach; readonly deadlines: Deadlines },
): UpstreamSockets {
  const idle = new Map<object, UpstreamSocket[]>()
  let idleCount = 0
  let openCount = 0
  let isClosed = false

  const forget = (one: UpstreamSocket): void => {
    const of = idle.get(one.key)
    const at = of?.indexOf(one) ?? -1
    if (of === undefined || at < 0) return
    of.splice(at, 1)
    idleCount -= 1
  }
  const adopt = (socket: Socket, key: object): UpstreamSocket => {
    const one: UpstreamSocket = {
      socket,
      key,
      isUsed: false,
      user: null,
      deadline: deps.deadlines.arm(UPSTREAM_IDLE_MS, () => {
        if (one.user === null) socket.destroy()
        else one.user.onDeadline()
      }),
    }
    // What comes unasked belongs to no request: such a connection cannot be trusted any more.
    socket.on('data', (bytes: Buffer) => {
      if (one.user === null) socket.destroy()
      else one.user.onBytes(bytes)
    })
    socket.on('end', () => {
      if (one.user === null) socket.destroy()
      else one.user.onEnd()
    })
    socket.on('close', () => {
      one.deadline.clear()
      forget(one)
      one.user?.onGone()
    })
    return one
  }
  const count = (socket: Socket): void => {
    openCount += 1
    socket.once('close', () => {
      openCount -= 1
    })
  }
  return {
    take(key) {
      const of = idle.get(key)
      for (;;) {
        const one = of?.pop()
        if (one === undefined) return null
        idleCount -= 1
        if (!one.socket.destroyed) return one
      }
    },
    get hasRoom() {
      return openCount < MAX_UPSTREAM_SOCKETS && hasDescriptors('upstream')
    },
    open(key, address, done) {
      let current: Socket | null = null
      let isOver = false
      const finish = (error: Error | null, socket: Socket | null): void => {
        if (isOver) return
        isOver = true
        done(error, socket === null ? null : adopt(socket, key))
      }
      const leave = deps.reach.find(site, address, (error, addresses) => {
        if (isOver) return
        if (error !== null) return void finish(error, null)
        const shareMs = options.connectTimeoutMs / addresses.length
        const next = (at: number, last: Error): void => {
          const dialled = addresses[at]?.address
          if (isOver || dialled === undefined) return void finish(last, null)
          current = connect(dialled, address, options)
          count(current)
          whenOpen(current, address.isTls && options.verifyTls, deps.deadlines, shareMs, (problem, socket) => {
            if (isOver) socket.destroy()
            else if (problem === null) finish(null, socket)
            else next(at + 1, problem)
          })
        }
        next(0, new Error('no address'))
      })
      return () => {
        isOver = true
        leave()
        current?.destroy()
      }
    },
    release(used) {
      used.user = null
      used.isUsed = true
      if (isClosed || idleCount >= MAX_IDLE_UPSTREAM_SOCKETS) return void used.socket.destroy()
      const of = idle.get(used.key)
      if (of === undefined) idle.set(used.key, [used])
      else of.push(used)
      idleCount += 1
      used.deadline.rearm(UPSTREAM_IDLE_MS)
    },
    get isQuiet() {
      return openCount === 0
    },
    close() {
      isClosed = true
      for (const one of [...idle.values()].flat()) one.socket.destroy()
    },
  }
}

function connect(dialled: string, address: UpstreamAddress, options: ProxyOptions): Socket {
  const to = { host: dialled, port: address.port, noDelay: true }
  if (!address.isTls) return net.connect(to)
  return tls.connect({ ...to, ...upstreamTls(address, options), ALPNProtocols: ['http/1.1'] })
}

/** Calls `done` once: when the connection stands, or with why it does not. */
function whenOpen(
  socket: Socket,
  mustBeAuthorized: boolean,
  deadlines: Deadlines,
  ms: number,
  done: (problem: Error | null, socket: Socket) => void,
): void {
  let isOver = false
  let problem: Error | null = null
  const finish = (why: Error | null): void => {
    if (isOver) return
    isOver = true
    deadline.clear()
    if (why !== null) socket.destroy()
    done(why, socket)
  }
  const deadline = deadlines.arm(ms, () => finish(new Error('the connection took too long')))
  socket.on('error', (error) => {
    problem = error
    socket.destroy()
  })
  socket.once('close', () => finish(problem ?? new Error('the connection was closed')))
  socket.once(socket instanceof tls.TLSSocket ? 'secureConnect' : 'connect', () =>
    finish(mustBeAuthorized && !(socket as TLSSocket).authorized ? new Error('the certificate is not trusted') : null),
  )
}
