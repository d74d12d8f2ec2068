import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import { parseClientHello } from '../listener/client-hello.ts'

/** The first flight of a real TLS client, byte by byte as it came over a socket. */
export async function captureHello(options: tls.ConnectionOptions): Promise<Buffer> {
  const server = net.createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  const client = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options })
  client.on('error', () => undefined)
  const [socket] = (await once(server, 'connection')) as [net.Socket]
  let hello = Buffer.alloc(0)
  while (parseClientHello(hello).kind === 'need-more') {
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    hello = Buffer.concat([hello, chunk])
  }
  client.destroy()
  socket.destroy()
  server.close()
  return hello
}
