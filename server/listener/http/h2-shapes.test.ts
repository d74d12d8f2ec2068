import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTestAuthority, type TestCertificate } from '../../test/certificates.ts'
import { openFrames } from '../../test/h2-frames.ts'
import { http2Shapes, shapeFrames } from '../../test/h2-shapes.ts'
import { request } from '../../test/http-requests.ts'
import { type ListenerRig, nameRecord, runtimes, siteRecord, startListenerRig } from '../../test/listener-rig.ts'
import { type Nginx, startNginx } from '../../test/nginx.ts'
import { type RecordingUpstream, startRecordingUpstream } from '../../test/recording-upstream.ts'

/** What came of one shape: whether it was answered with 200, and what the upstream saw. */
type Outcome = { readonly isOk: boolean; readonly reached: readonly string[] }

const host = 'a.example.com'

/** Sends each shape on a connection of its own and says what came of it. */
async function outcomes(port: number, upstream: RecordingUpstream, run: string): Promise<readonly Outcome[]> {
  const oks = await Promise.all(
    http2Shapes.map(async (shape, at) => {
      const connection = await openFrames({ port, serverName: host })
      await connection.send(shapeFrames(shape, 1, `${run}-${at}`))
      const { ok } = await connection.until(({ ended, goaway }) => ended.has(1) || goaway)
      connection.socket.destroy()
      return ok.has(1)
    }),
  )
  // What was passed on, asked for or not, was so before this one.
  expect((await request({ protocol: 'h2', port, host, path: `/${run}-last` })).status).toBe(200)
  return http2Shapes.map((_, at) => ({ isOk: oks[at] === true, reached: reachedBy(upstream, `${run}-${at}`) }))
}

function reachedBy(upstream: RecordingUpstream, id: string): string[] {
  const own = new RegExp(`${id}(?![0-9])`)
  return upstream.seen
    .filter(({ target }) => own.test(target))
    .map(({ method, target, body }) => `${method} ${target} ${body}`.replaceAll(id, '{id}'))
}

let certificate: TestCertificate
let upstream: RecordingUpstream
let nginx: Nginx
let byNginx: readonly Outcome[]

beforeAll(async () => {
  certificate = await (await createTestAuthority()).issue([host, 'other.example.com'])
  upstream = await startRecordingUpstream()
  nginx = await startNginx(certificate, upstream.port)
  byNginx = await outcomes(nginx.port, upstream, 'nginx')
})
afterAll(async () => {
  await nginx?.[Symbol.asyncDispose]()
  await upstream?.[Symbol.asyncDispose]()
})

test('nginx passes on what is plain, so it is fit to compare', () => {
  expect(byNginx[0]).toEqual({ isOk: true, reached: ['GET /{id} '] })
})

describe.each(runtimes)('HTTP/2 on %s', (runtime) => {
  let rig: ListenerRig
  let ours: readonly Outcome[]
  let brokenBefore = 0

  beforeAll(async () => {
    rig = await startListenerRig({
      runtime,
      outboundAllow: ['127.0.0.1/32'],
      records: (parts) => [
        parts.certificate(certificate),
        nameRecord(host, 'a', certificate),
        nameRecord('other.example.com', 'other', certificate),
        siteRecord('a', { kind: 'proxy', upstreams: [{ url: upstream.url, weight: 1 }] }),
        siteRecord('other', { kind: 'proxy', upstreams: [{ url: upstream.url, weight: 1 }] }),
      ],
    })
    brokenBefore = upstream.broken.length
    ours = await outcomes(rig.httpsPort, upstream, runtime)
  })
  afterAll(() => rig?.close())

  test.each(http2Shapes.map((shape, at) => ({ ...shape, at })))('$name', ({ at, fields, reaches, mayDrop }) => {
    const wanted = { isOk: reaches !== null, reached: reaches === null ? [] : [reaches] }
    const method = fields.find(([name]) => name === ':method')?.[1]
    const body = method === 'POST' ? 'abcd' : ''
    const dropped = { isOk: true, reached: [`${String(method)} /{id} ${body}`] }
    expect(mayDrop === true ? [wanted, dropped] : [wanted]).toContainEqual(ours[at])
  })

  test('nothing reaches the upstream that is no whole request of its own', () => {
    expect(upstream.broken.slice(brokenBefore)).toEqual([])
    const own = upstream.seen.filter(({ target }) => target.startsWith(`/${runtime}-`))
    expect(own.length).toBeGreaterThan(5)
    for (const { target, fields } of own) {
      expect(target).not.toContain('hidden')
      expect(fields.filter(([name]) => name === 'host')).toEqual([['host', host]])
      expect(fields.filter(([name]) => name === 'cookie').length).toBeLessThan(2)
      expect(fields.filter(([name]) => name === '' || name === 'x')).toEqual([])
    }
  })

  test('nothing passes us that nginx would not pass, and no body ends elsewhere', () => {
    const differing = http2Shapes.flatMap(({ name, mayDrop, isRefusedByNginx }, at) => {
      if (isRefusedByNginx === true || mayDrop === true) return []
      const theirs = byNginx[at]?.reached ?? []
      const us = ours[at]?.reached ?? []
      const isSame = us.length <= theirs.length && us.every((one, index) => one === theirs[index])
      return isSame ? [] : [`${name}: nginx ${JSON.stringify(theirs)}, we ${JSON.stringify(us)}`]
    })
    expect(differing).toEqual([])
  })
})
