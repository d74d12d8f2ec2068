import type { Socket } from 'node:net'
import { unmapped } from '../contract/reach.ts'
import type { Client, SitePlace } from './admission.ts'
import type { Deadline } from './deadlines.ts'
import type { Announced } from './proxy-protocol.ts'
import { peerAddress } from './runtime.ts'

/**
 * A client from accept to the end of its connection. One object with one listener for its end, and not a closure for
 * each thing that ends with it: there is one of these for every connection, those that are refused included.
 */
export class Visitor {
  readonly socket: Socket
  /** From accept to the end of the handshake. */
  readonly deadline: Deadline
  /** Whom a load balancer has announced; null: the socket's own ends count. */
  announced: Announced | null = null
  /** Of the client, or of the load balancer while that has announced nobody. */
  remoteAddress: string
  /** Null until it has come in. */
  client: Client | null = null
  site: SitePlace | null = null
  /** Whether a handshake is under way. */
  isShaking = false
  /** Whether its refusal was counted. */
  isRefused = false

  constructor(socket: Socket, deadline: Deadline) {
    this.socket = socket
    this.deadline = deadline
    this.remoteAddress = unmapped(peerAddress(socket))
  }

  /** The address that was dialled. Reading it costs a system call. */
  localAddress(): string {
    return this.announced?.localAddress ?? unmapped(this.socket.localAddress ?? '')
  }

  /** Whom a load balancer connects for. */
  announce(announced: Announced): void {
    this.announced = announced
    this.remoteAddress = announced.remoteAddress
  }

  /** The connection is over: gives back what it held. */
  leave(): void {
    this.deadline.clear()
    this.site?.leave()
    this.client?.leave()
  }
}
