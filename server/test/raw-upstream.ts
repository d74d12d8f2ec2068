import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'

/** What a raw upstream does with one request: `connection` counts from 1, and so does `request` on each connection. */
export type RawAnswer = (socket: net.Socket, seen: { head: string; connection: number; request: number }) => void

/** An upstream that writes bytes as they are. */
export type RawUpstream = {
  readonly url: string
  /** Request heads, in the order in which they came. */
  readonly heads: string[]
  readonly connections: number
  /** Connections that are open. */
  readonly open: ReadonlySet<net.Socket>
  close(): void
}

/** Starts one on loopback. Requests are taken to have no body. */
export async function startRawUpstream(answer: RawAnswer): Promise<RawUpstream> {
  const heads: string[] = []
  const open = new Set<net.Socket>()
  let connections = 0
  const server = net.createServer({ noDelay: true }, (socket) => {
    connections += 1
    const connection = connections
    let request = 0
    let text = ''
    open.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => open.delete(socket))
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1')
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        const head = text.slice(0, end + 4)
        text = text.slice(end + 4)
        request += 1
        heads.push(head)
        answer(socket, { head, connection, request })
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    heads,
    open,
    get connections() {
      return connections
    },
    close() {
      server.close()
      for (const socket of open) socket.destroy()
    },
  }
}
