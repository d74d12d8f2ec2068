import type { Socket } from 'node:net'
import type { Deadlines } from '../deadlines.ts'
import { FAREWELL_MS } from './limits.ts'

/**
 * Ends a connection whose last answer may still wait to be read: `ms` for that, then a moment for the client to
 * close its side; who does not is cut off. What it still sends is not read as a request.
 */
export function endConnection(socket: Socket, deadlines: Deadlines, ms: number): void {
  const deadline = deadlines.arm(ms, () => void socket.destroy())
  socket.once('finish', () => deadline.rearm(FAREWELL_MS))
  socket.once('close', () => deadline.clear())
  socket.resume()
  socket.end()
}
