import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTestAuthority, type TestCertificate } from '../../test/certificates.ts'
import { exchangeRaw } from '../../test/http-requests.ts'
import { type ListenerRig, nameRecord, runtimes, siteRecord, startListenerRig } from '../../test/listener-rig.ts'
import { type Nginx, startNginx } from '../../test/nginx.ts'
import { type RecordingUpstream, startRecordingUpstream } from '../../test/recording-upstream.ts'
import { type RequestShape, requestShapes, shapeBytes } from '../../test/request-shapes.ts'

/** What came of one shape: the statuses of all answers, and what the upstream saw. */
type Outcome = { readonly answers: readonly number[]; readonly reached: readonly string[] }

const host = 'a.example.com'
const statusesIn = (text: string): number[] =>
  [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))

/** Sends every shape on a connection of its own, all at once, and says what came of each, in their order. */
async function outcomes(
  port: number,
  upstream: RecordingUpstream,
  run: string,
  isEnough: (shape: RequestShape) => ((text: string) => boolean) | undefined,
): Promise<readonly Outcome[]> {
  const texts = await Promise.all(
    requestShapes.map((shape, at) =>
      exchangeRaw({ port, serverName: host }, shapeBytes(shape, host, `${run}-${at}`), isEnough(shape)),
    ),
  )
  // What was passed on, asked for or not, was so before this one.
  const last = `GET /${run}-last HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`
  expect(statusesIn(await exchangeRaw({ port, serverName: host }, last))).toEqual([200])
  return requestShapes.map((_, at) => ({
    answers: statusesIn(texts[at] ?? ''),
    reached: reachedBy(upstream, `${run}-${at}`),
  }))
}

function reachedBy(upstream: RecordingUpstream, id: string): string[] {
  return upstream.seen
    .filter(({ target }) => new RegExp(`^/?${id}(?![0-9])`).test(target))
    .map(({ method, target, body }) => `${method} ${target.replace(id, '{id}')} ${body}`)
}

let certificate: TestCertificate
let upstream: RecordingUpstream
let nginx: Nginx
/** What nginx makes of each shape in front of the same upstream. */
let byNginx: readonly Outcome[]

beforeAll(async () => {
  certificate = await (await createTestAuthority()).issue([host, 'other.example.com', 'f.example.com'])
  upstream = await startRecordingUpstream()
  nginx = await startNginx(certificate, upstream.port)
  byNginx = await outcomes(nginx.port, upstream, 'nginx', () => undefined)
})
afterAll(async () => {
  await nginx?.[Symbol.asyncDispose]()
  await upstream?.[Symbol.asyncDispose]()
})

test('the upstream that nginx stands before is fit to compare: it got what is plain, whole', () => {
  const plain = requestShapes.findIndex(({ name }) => name === 'three, one after the other')
  expect(byNginx[plain]).toEqual({ answers: [200, 200, 200], reached: requestShapes[plain]?.reaches })
})

describe.each(runtimes)('on %s', (runtime) => {
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
        nameRecord('f.example.com', 'f', certificate),
        siteRecord('a', { kind: 'proxy', upstreams: [{ url: upstream.url, weight: 1 }] }),
        siteRecord('other', { kind: 'proxy', upstreams: [{ url: upstream.url, weight: 1 }] }),
        siteRecord('f', { manifest: parts.release({ 'index.html': 'F' }) }),
      ],
    })
    brokenBefore = upstream.broken.length
    const isEnough = ({ answers }: RequestShape) => {
      const isWhole = answers.every((status) => status === 200) && answers.length > 0
      return isWhole ? (text: string) => text.split('\r\n\r\nok').length > answers.length : undefined
    }
    ours = await outcomes(rig.httpsPort, upstream, runtime, isEnough)
  })
  afterAll(() => rig?.close())

  const passed = requestShapes.map((shape, at) => ({ ...shape, at })).filter(({ reaches }) => reaches.length > 0)
  test.each(passed)('$name is passed on', ({ at, answers, reaches, mayEnd }) => {
    const { answers: given, reached } = ours[at] as Outcome
    expect(reached).toEqual(mayEnd === true ? reaches.slice(0, reached.length) : reaches)
    expect(given).toEqual(mayEnd === true ? answers.slice(0, given.length) : answers)
  })

  const refused = requestShapes.map((shape, at) => ({ ...shape, at })).filter(({ reaches }) => reaches.length === 0)
  test.each(refused)('$name is refused', ({ at, answers }) => {
    const { answers: given, reached } = ours[at] as Outcome
    expect(reached).toEqual([])
    expect(given.length).toBeLessThanOrEqual(1)
    if (answers.length > 0) expect(answers).toContain(given[0])
    expect(given.filter((status) => status < 400)).toEqual([])
  })

  test('nothing reaches the upstream that is no whole request of its own', () => {
    expect(upstream.broken.slice(brokenBefore)).toEqual([])
    const own = upstream.seen.filter(({ target }) => target.startsWith(`/${runtime}-`))
    expect(own.filter(({ target }) => target.includes('hidden'))).toEqual([])
  })

  test('the upstream gets one host, one framing, and no field of the connection', () => {
    const own = upstream.seen.filter(({ target }) => target.startsWith(`/${runtime}-`))
    expect(own.length).toBeGreaterThan(20)
    for (const { fields } of own) {
      const names = fields.map(([name]) => name)
      expect(fields.filter(([name]) => name === 'host')).toEqual([['host', host]])
      expect(names.filter((name) => name === 'content-length' || name === 'transfer-encoding').length).toBeLessThan(2)
      for (const name of ['upgrade', 'http2-settings', 'te', 'trailer', 'proxy-connection'])
        expect(names).not.toContain(name)
      expect(fields.filter(([name]) => name === 'x-forwarded-host')).not.toContainEqual([
        'x-forwarded-host',
        'other.example.com',
      ])
    }
  })

  test('nothing passes us that nginx would not pass, and no body ends elsewhere', () => {
    const differing = requestShapes.flatMap(({ name, reaches }, at) => {
      const theirs = byNginx[at]?.reached ?? []
      const us = ours[at]?.reached ?? []
      const isSame = us.length <= theirs.length && us.every((one, index) => one === theirs[index])
      return isSame
        ? []
        : [`${name}: nginx ${JSON.stringify(theirs)}, we ${JSON.stringify(us)}, wanted ${JSON.stringify(reaches)}`]
    })
    expect(differing).toEqual([])
  })

  test('a static site reads them in the same way', async () => {
    // It never looks at a body, so what is wrong in one is not its business.
    const shapes = requestShapes.filter(({ bytes }) => bytes.trimStart().startsWith('GET'))
    const lines = await Promise.all(
      shapes.map(async (shape) => {
        const { name, answers, reaches, mayEnd } = shape
        const isEnough = reaches.length > 0 ? (text: string) => statusesIn(text).length >= answers.length : undefined
        const target = { port: rig.httpsPort, serverName: 'f.example.com' }
        const statuses = statusesIn(await exchangeRaw(target, shapeBytes(shape, 'f.example.com', 's'), isEnough))
        const isFine =
          reaches.length === 0
            ? statuses.length <= 1 && statuses.every((status) => answers.includes(status))
            : statuses.length === answers.length || (mayEnd === true && statuses.length < answers.length)
        return isFine ? '' : `${name}: ${statuses.join(' ')} and not ${answers.join(' ')}`
      }),
    )
    expect(shapes.length).toBeGreaterThan(50)
    expect(lines.filter((line) => line !== '')).toEqual([])
  })
})
