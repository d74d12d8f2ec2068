import { readFileSync } from 'node:fs'
import net from 'node:net'

/** Clients at once, each with an address of its own in 127.0.0.0/8, so that no port runs out. */
const CLIENTS = 40

/**
 * Makes `count` connections to a plain port, each with one request of its own, and gives what became of
 * them: the bytes that process `pid` grew by after the first fifth, and how many were answered.
 */
export async function makeShortConnections(
  port: number,
  pid: number,
  host: string,
  count: number,
): Promise<{ answered: number; grownBytes: number }> {
  let begun = 0
  let answered = 0
  let early = 0
  const client = async (localAddress: string): Promise<void> => {
    while (begun < count) {
      begun += 1
      if (begun === Math.ceil(count / 5)) early = residentBytes(pid)
      if (await isAnswered(port, localAddress, host)) answered += 1
    }
  }
  await Promise.all(Array.from({ length: CLIENTS }, (_, index) => client(`127.0.1.${index + 1}`)))
  return { answered, grownBytes: residentBytes(pid) - early }
}

function isAnswered(port: number, localAddress: string, host: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const socket = net.connect({ port, host: '127.0.0.1', localAddress })
  socket.write(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
  socket.once('data', (chunk) => {
    resolve(chunk.toString('latin1').startsWith('HTTP/1.1 301'))
    socket.resetAndDestroy()
  })
  socket.once('error', () => resolve(false))
  socket.once('close', () => resolve(false))
  return promise
}

function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1_024
}
