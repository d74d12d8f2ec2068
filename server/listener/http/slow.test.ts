import { once } from 'node:events'
import { createServer } from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { createTestAuthority } from '../../test/certificates.ts'
import { openHttp2, openRaw, readAll, request, requestOn } from '../../test/http-requests.ts'
import { nameRecord, type RigRecord, runtimes, siteRecord, startListenerRig } from '../../test/listener-rig.ts'

/** Waits out the real deadlines, all of them at the same time. */
test.concurrent.each(runtimes)(
  'who is slow is closed on %s, and no byte buys time',
  { timeout: 150_000 },
  async (runtime) => {
    const authority = await createTestAuthority()
    const certificate = await authority.issue(['a.example.com', 'never.example.com'])
    const answering = createServer(
      (incoming, response) => void incoming.resume().on('end', () => response.end('answer')),
    )
    const never = net.createServer((socket) => void socket.on('error', () => undefined).resume())
    const [answeringUrl, neverUrl] = [await listen(answering), await listen(never)]
    await using rig = await startListenerRig({
      runtime,
      outboundAllow: ['127.0.0.1/32'],
      records: (parts): readonly RigRecord[] => [
        parts.certificate(certificate),
        nameRecord('a.example.com', 'a', certificate),
        nameRecord('never.example.com', 'never', certificate),
        siteRecord('a', { kind: 'proxy', upstreams: [{ url: answeringUrl, weight: 1 }] }),
        siteRecord('never', { kind: 'proxy', upstreams: [{ url: neverUrl, weight: 1 }] }),
      ],
    })
    const target = { port: rig.httpsPort, serverName: 'a.example.com' }
    const host = 'Host: a.example.com\r\n'

    const silent = async (): Promise<string> => readAll(await openRaw(target))
    const silentPlain = async (): Promise<string> => readAll(await openRaw({ port: rig.httpPort }))
    const drip = async (start: string, piece: string): Promise<string> => {
      const socket = await openRaw(target)
      const answer = readAll(socket)
      socket.write(start)
      const timer = setInterval(() => socket.write(piece), 500)
      return answer.finally(() => clearInterval(timer))
    }
    const kept = async (after: string): Promise<string> => {
      const socket = await openRaw(target)
      const answer = readAll(socket)
      socket.write(`GET / HTTP/1.1\r\n${host}\r\n`)
      await readAll(socket, (text) => text.includes('answer'))
      socket.write(after)
      return answer
    }
    const silentHttp2 = async (): Promise<void> => {
      const session = openHttp2({ port: rig.httpsPort, host: 'a.example.com' })
      const closed = once(session, 'close')
      await requestOn(session, { ':path': '/', ':authority': 'a.example.com' })
      await closed
    }
    const unanswered = async (): Promise<string> => {
      const socket = await openRaw({ port: rig.httpsPort, serverName: 'never.example.com' })
      socket.write('GET / HTTP/1.1\r\nHost: never.example.com\r\n\r\n')
      const [bytes] = (await once(socket, 'data')) as [Buffer]
      socket.destroy()
      return bytes.toString('latin1')
    }
    const ended = await Promise.all([
      silent(),
      silentPlain(),
      drip('GET / HTTP/1.1\r\n', 'X: y\r\n'),
      drip(`POST / HTTP/1.1\r\n${host}Content-Length: 100000\r\n\r\n`, ''),
      drip(`POST / HTTP/1.1\r\n${host}Content-Length: 100000\r\n\r\n`, 'slow'),
      kept(''),
      kept('GET / HT'),
      unanswered(),
      silentHttp2(),
    ])
    expect(ended.at(-2)).toMatch(/^HTTP\/1\.1 504 /)
    expect((await request({ port: rig.httpsPort, host: 'a.example.com' })).body.toString()).toBe('answer')
    answering.close()
    never.close()
  },
)

async function listen(server: net.Server): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
