import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Deadlines } from '../deadlines.ts'
import type { Exchange } from './exchange.ts'
import { visitorFields } from './forwarded-fields.ts'
import { TUNNEL_IDLE_MS } from './limits.ts'

/** Whether a request asks for a WebSocket (RFC 6455 section 4.1); other upgrades are not passed on. */
export function wantsTunnel(exchange: Exchange): boolean {
  return (
    exchange.upgrade !== null &&
    exchange.method === 'GET' &&
    !exchange.hasBody &&
    exchange.headers.upgrade?.toLowerCase() === 'websocket'
  )
}

/**
 * Joins a visitor and an upstream that has switched protocols, byte for byte, until one of them
 * leaves or both are silent. Returns false when the visitor did not ask for it.
 */
export function acceptTunnel(
  exchange: Exchange,
  response: IncomingMessage,
  upstream: Socket,
  upstreamHead: Uint8Array,
  deadlines: Deadlines,
): boolean {
  if (exchange.upgrade === null || !wantsTunnel(exchange) || exchange.isClosed) return false
  const { socket, head } = exchange.upgrade
  const lines = visitorFields(response.rawHeaders).map(([name, value]) => `${name}: ${value}\r\n`)
  const text = `HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n${lines.join('')}\r\n`
  socket.write(text, 'latin1')
  if (upstreamHead.length > 0) socket.write(upstreamHead)
  if (head.length > 0) upstream.write(head)
  exchange.account(101, upstreamHead.length)
  exchange.receive(head.length)
  upstream.on('data', (piece: Buffer) => exchange.account(101, piece.length))
  socket.on('data', (piece: Buffer) => exchange.receive(piece.length))
  splice(socket, upstream, deadlines)
  return true
}

/** `pipe` alone would leave the other side open when one is destroyed. */
function splice(visitor: Socket, upstream: Socket, deadlines: Deadlines): void {
  const end = (): void => {
    deadline.clear()
    visitor.destroy()
    upstream.destroy()
  }
  const deadline = deadlines.arm(TUNNEL_IDLE_MS, end)
  for (const socket of [visitor, upstream]) {
    socket.setTimeout(0)
    socket.on('data', () => deadline.rearm(TUNNEL_IDLE_MS))
    socket.on('error', end)
    socket.on('close', end)
  }
  visitor.pipe(upstream)
  upstream.pipe(visitor)
}
