import { flags, frame, frameTypes, literals, type RawField } from './h2-frames.ts'

/** A request over HTTP/2 as attackers write it. `{id}` is the run's own mark, as in `request-shapes.ts`. */
export type Http2Shape = {
  readonly name: string
  readonly fields: readonly RawField[]
  /** DATA frames; none: the head ends the stream. */
  readonly data?: readonly string[]
  /** A second block of fields, behind the data. */
  readonly trailers?: readonly RawField[]
  /** What the upstream gets; null: nothing, and the stream or the connection is refused. */
  readonly reaches: string | null
  /** The field, or the trailers, may also be left out, with all else passed on: nghttp2 does so. */
  readonly mayDrop?: true
  /** Allowed by RFC 9113, and refused by nginx. */
  readonly isRefusedByNginx?: true
}

const HOST = 'a.example.com'
const pseudo = (more: Partial<Record<'method' | 'path' | 'scheme' | 'authority', string>> = {}): RawField[] => [
  [':method', more.method ?? 'GET'],
  [':path', more.path ?? '/{id}'],
  [':scheme', more.scheme ?? 'https'],
  [':authority', more.authority ?? HOST],
]
const HIDDEN = `GET /{id}/hidden HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`

const refusedField = (name: string, value: string): Http2Shape => ({
  name: `field ${JSON.stringify(name)}: ${JSON.stringify(value)}`,
  fields: [...pseudo(), [name, value]],
  reaches: null,
})
const droppedField = (name: string, value: string): Http2Shape => ({ ...refusedField(name, value), mayDrop: true })
const refusedPseudo = (more: Parameters<typeof pseudo>[0]): Http2Shape => ({
  name: `pseudo-fields ${JSON.stringify(more)}`,
  fields: pseudo(more),
  reaches: null,
})
const without = (name: string): Http2Shape => ({
  name: `no ${name}`,
  fields: pseudo().filter(([one]) => one !== name),
  reaches: null,
})
const body = (name: string, fields: readonly RawField[], data: readonly string[]): Http2Shape => ({
  name,
  fields: [...pseudo({ method: 'POST' }), ...fields],
  data,
  reaches: null,
})

/** All shapes. */
export const http2Shapes: readonly Http2Shape[] = [
  { name: 'plain', fields: pseudo(), reaches: 'GET /{id} ' },
  {
    name: 'body without a length',
    fields: pseudo({ method: 'POST' }),
    data: ['ab', '', 'cd'],
    reaches: 'POST /{id} abcd',
  },
  {
    name: 'body with its length',
    fields: [...pseudo({ method: 'POST' }), ['content-length', '4']],
    data: ['ab', 'cd'],
    reaches: 'POST /{id} abcd',
  },
  {
    name: 'body that is a request',
    fields: pseudo({ method: 'POST' }),
    data: [`0\r\n\r\n${HIDDEN}`],
    reaches: `POST /{id} 0\r\n\r\n${HIDDEN}`,
  },
  {
    name: 'body that is a request, of a GET',
    fields: pseudo(),
    data: [HIDDEN],
    reaches: `GET /{id} ${HIDDEN}`,
  },
  {
    name: 'trailers',
    fields: pseudo({ method: 'POST' }),
    data: ['abcd'],
    trailers: [['x-sum', '1']],
    reaches: 'POST /{id} abcd',
    isRefusedByNginx: true,
  },
  { name: 'te: trailers', fields: [...pseudo(), ['te', 'trailers']], reaches: 'GET /{id} ' },
  { name: 'cookies apart', fields: [...pseudo(), ['cookie', 'a=1'], ['cookie', 'b=2']], reaches: 'GET /{id} ' },
  {
    name: 'host beside an equal authority',
    fields: [...pseudo(), ['host', HOST]],
    reaches: 'GET /{id} ',
    isRefusedByNginx: true,
  },
  droppedField('x', 'a\r\nhost: other.example.com'),
  droppedField('x', `a\r\n\r\n${HIDDEN}`),
  droppedField('x', 'a\nb'),
  droppedField('x', 'a\rb'),
  droppedField('x', 'a\0b'),
  refusedField('X-Upper', 'a'),
  droppedField('x y', 'a'),
  droppedField('x:', 'a'),
  droppedField('x\r\nhost', 'a'),
  droppedField('x\0', 'a'),
  droppedField('', 'a'),
  droppedField('x\xe4', 'a'),
  refusedField('transfer-encoding', 'chunked'),
  refusedField('transfer-encoding', 'identity'),
  refusedField('connection', 'keep-alive'),
  refusedField('connection', 'transfer-encoding'),
  refusedField('keep-alive', 'timeout=5'),
  refusedField('proxy-connection', 'keep-alive'),
  refusedField('upgrade', 'websocket'),
  refusedField('te', 'gzip'),
  refusedField('content-length', '4'),
  refusedField('content-length', '+0'),
  refusedField('content-length', '-1'),
  refusedField('content-length', '0, 0'),
  refusedField('content-length', ''),
  refusedField('host', 'other.example.com'),
  refusedField(':status', '200'),
  refusedField(':unknown', 'x'),
  refusedField(':path', '/{id}/again'),
  refusedField(':authority', 'other.example.com'),
  refusedPseudo({ path: '/{id} HTTP/1.1\r\nx: y' }),
  refusedPseudo({ path: `/{id} HTTP/1.1\r\nHost: ${HOST}\r\n\r\n${HIDDEN}` }),
  refusedPseudo({ path: '/{id} x' }),
  refusedPseudo({ path: '/{id}\t' }),
  refusedPseudo({ path: '/{id}\0' }),
  refusedPseudo({ path: '/{id}\xe4' }),
  refusedPseudo({ path: '/{id}#x' }),
  refusedPseudo({ path: '' }),
  refusedPseudo({ path: '{id}' }),
  refusedPseudo({ path: 'https://other.example.com/{id}' }),
  refusedPseudo({ path: '*' }),
  refusedPseudo({ method: `GET /{id}/hidden HTTP/1.1\r\nHost: ${HOST}\r\n\r\nGET` }),
  refusedPseudo({ method: 'GET /x' }),
  refusedPseudo({ method: 'get' }),
  refusedPseudo({ method: '' }),
  refusedPseudo({ method: 'CONNECT' }),
  refusedPseudo({ method: 'TRACE' }),
  refusedPseudo({ authority: 'other.example.com' }),
  refusedPseudo({ authority: `user@${HOST}` }),
  refusedPseudo({ authority: `${HOST}\r\nx: y` }),
  refusedPseudo({ authority: `${HOST}/x` }),
  refusedPseudo({ authority: '' }),
  without(':method'),
  without(':path'),
  without(':scheme'),
  without(':authority'),
  { name: 'a pseudo-field behind a field', fields: [['x', 'a'], ...pseudo()], reaches: null },
  body('less than the length', [['content-length', '4']], ['abc']),
  body('more than the length', [['content-length', '4']], ['abcde']),
  body('more than no length', [['content-length', '0']], [HIDDEN]),
  body(
    'two lengths',
    [
      ['content-length', '4'],
      ['content-length', '5'],
    ],
    ['abcd'],
  ),
  body('a length in a list', [['content-length', '4, 4']], ['abcd']),
  body('a coding and a body', [['transfer-encoding', 'chunked']], [`0\r\n\r\n${HIDDEN}`]),
  { ...body('pseudo-fields in trailers', [], ['abcd']), trailers: [[':path', '/{id}/hidden']] },
  { ...body('line breaks in trailers', [], ['abcd']), trailers: [['x', `a\r\n\r\n${HIDDEN}`]], mayDrop: true },
]

/** The frames of a shape on a stream. */
export function shapeFrames(shape: Http2Shape, stream: number, id: string): Buffer {
  const filled = (fields: readonly RawField[]): RawField[] =>
    fields.map(([name, value]) => [name, value.replaceAll('{id}', id)])
  const { data = [], trailers } = shape
  const block = (fields: readonly RawField[], isLast: boolean): Buffer =>
    frame(frameTypes.headers, flags.endHeaders | (isLast ? flags.endStream : 0), stream, literals(filled(fields)))
  return Buffer.concat([
    block(shape.fields, data.length === 0 && trailers === undefined),
    ...data.map((piece, at) => {
      const isLast = at === data.length - 1 && trailers === undefined
      const bytes = Buffer.from(piece.replaceAll('{id}', id), 'latin1')
      return frame(frameTypes.data, isLast ? flags.endStream : 0, stream, bytes)
    }),
    ...(trailers === undefined ? [] : [block(trailers, true)]),
  ])
}
