import { once } from 'node:events'
import { expect, test } from 'vitest'
import { createTestAuthority } from '../../test/certificates.ts'
import { openHttp2, openRaw, readAll, requestOn } from '../../test/http-requests.ts'
import { nameRecord, runtimes, siteRecord, startListenerRig } from '../../test/listener-rig.ts'

const bytes = 24 * 1024 * 1024

test.each(runtimes)('a drain on %s lets downloads finish, and ends what is idle', async (runtime) => {
  const authority = await createTestAuthority()
  const certificate = await authority.issue(['a.example.com'])
  await using rig = await startListenerRig({ runtime })
  await rig.publish([
    rig.certificate(certificate),
    nameRecord('a.example.com', 'a', certificate),
    siteRecord('a', { manifest: rig.release({ 'index.html': 'A', 'large.bin': Buffer.alloc(bytes, 'x') }) }),
  ])
  const target = { port: rig.httpsPort, serverName: 'a.example.com' }
  const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a.example.com\r\n\r\n`

  const idle = await openRaw(target)
  idle.write(get('/'))
  await readAll(idle, (text) => text.endsWith('A'))

  const busy = await openRaw(target)
  busy.write(get('/large.bin'))
  await once(busy, 'readable')
  const session = openHttp2({ port: rig.httpsPort, host: 'a.example.com' })
  const stream = session.request({ ':path': '/large.bin', ':authority': 'a.example.com' })
  await once(stream, 'response')
  const idleSession = openHttp2({ port: rig.httpsPort, host: 'a.example.com' })
  await requestOn(idleSession, { ':path': '/', ':authority': 'a.example.com' })

  const goneAway = Promise.all([once(session, 'goaway'), once(idleSession, 'goaway')])
  const drained = rig.pool.drain()
  await goneAway
  let received = 0
  stream.on('data', (piece: Buffer) => {
    received += piece.length
  })
  const [text] = await Promise.all([readAll(busy), once(stream, 'close'), readAll(idle)])
  expect(text.length - text.indexOf('\r\n\r\n') - 4).toBe(bytes)
  expect(received).toBe(bytes)
  await drained
})
