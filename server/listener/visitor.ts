import type { Socket } from 'node:net'
import type { Deadline } from './deadlines.ts'
import type { Announced } from './proxy-protocol.ts'

/** A client at the door, from accept to the end of its handshake. */
export type Visitor = {
  readonly socket: Socket
  readonly deadline: Deadline
  /** Whom a load balancer has announced; null: the socket's own ends count. */
  readonly announced: Announced | null
  readonly remoteAddress: string
  /** The address that was dialled. Reading it costs a system call. */
  readonly localAddress: () => string
}
