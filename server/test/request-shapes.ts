/**
 * HTTP/1.1 as attackers write it: bytes that parsers are known to read in different ways. `{id}` stands for what
 * tells one run of a shape from all others; `hidden` in a target is a request that nobody asked for.
 */
export type RequestShape = {
  readonly name: string
  readonly bytes: string
  /** The statuses of all answers. Where nothing is reached: those that the one answer may have; none: any refusal, or no answer. */
  readonly answers: readonly number[]
  /** What an upstream gets: method, target and body. */
  readonly reaches: readonly string[]
  /** What follows makes the connection end, perhaps before the answer has left and the upstream has heard of it. */
  readonly mayEnd?: true
}

const H = 'Host: {host}\r\n'
const HIDDEN = `GET /{id}/hidden HTTP/1.1\r\n${H}\r\n`
const CHUNKED = 'Transfer-Encoding: chunked\r\n'

type Row = readonly [name: string, bytes: string]
const post = (name: string, fields: string, body = ''): Row => [name, `POST /{id} HTTP/1.1\r\n${H}${fields}\r\n${body}`]
const get = (name: string, fields: string, rest = ''): Row => [name, `GET /{id} HTTP/1.1\r\n${H}${fields}\r\n${rest}`]
const length = (name: string, value: string): Row => post(`length ${name}`, `Content-Length:${value}\r\n`, 'abcd')
const coding = (name: string, field: string): Row =>
  post(`coding ${name}`, `${field}\r\n`, `4\r\nabcd\r\n0\r\n\r\n${HIDDEN}`)
const chunks = (name: string, body: string): Row => post(`chunks: ${name}`, CHUNKED, body)

/** Every one of these is answered 400 (501 for a coding), reaches no upstream, and ends the connection. */
const bad: readonly Row[] = [
  post('length, then coding', `Content-Length: 4\r\n${CHUNKED}`, `0\r\n\r\n${HIDDEN}`),
  post('coding, then length', `${CHUNKED}Content-Length: 4\r\n`, `0\r\n\r\n${HIDDEN}`),
  post('length, coding, length', `Content-Length: 4\r\n${CHUNKED}Content-Length: 4\r\n`, `0\r\n\r\n${HIDDEN}`),
  post('length that hides a request, then coding', `Content-Length: 60\r\n${CHUNKED}`, `0\r\n\r\n${HIDDEN}`),
  post('two lengths that differ', 'Content-Length: 4\r\nContent-Length: 5\r\n', 'abcde'),
  post('two lengths that differ in spelling', 'Content-Length: 4\r\ncontent-length: 04\r\n', 'abcd'),
  post('two lengths', 'Content-Length: 4\r\nCONTENT-LENGTH: 4\r\n', 'abcd'),
  length('list', ' 4, 4'),
  length('list that differs', ' 4, 5'),
  length('with plus', ' +4'),
  length('with minus', ' -1'),
  length('hexadecimal', ' 0x4'),
  length('with a space', ' 4 4'),
  length('with underscore', ' 4_0'),
  length('empty', ''),
  length('in wide digits', ' \xef\xbc\x94'),
  length('too large', ' 99999999999999999999'),
  length('fraction', ' 4.0'),
  length('exponent', ' 4e0'),
  length('after a vertical tab', '\x0b4'),
  length('with NUL', ' 4\0'),
  length('with quotes', ' "4"'),
  length('folded', '\r\n 4'),
  length('folded on', ' 4\r\n\t5'),
  post('space before the colon of the length', 'Content-Length : 4\r\n', 'abcd'),
  post('tab before the colon of the length', 'Content-Length\t: 4\r\n', 'abcd'),
  coding('xchunked', 'Transfer-Encoding: xchunked'),
  coding('chunkedx', 'Transfer-Encoding: chunkedx'),
  coding('chunked, identity', 'Transfer-Encoding: chunked, identity'),
  coding('after a vertical tab', 'Transfer-Encoding:\x0bchunked'),
  coding('after a form feed', 'Transfer-Encoding: \x0cchunked'),
  coding('in quotes', 'Transfer-Encoding: "chunked"'),
  coding('with a parameter', 'Transfer-Encoding: chunked;q=1'),
  coding('with NUL', 'Transfer-Encoding: chunked\0'),
  coding('with a space before the colon', 'Transfer-Encoding : chunked'),
  coding('with a tab before the colon', 'Transfer-Encoding\t: chunked'),
  coding('folded', 'Transfer-Encoding:\r\n chunked'),
  coding('in a folded line', 'X: a\r\n Transfer-Encoding: chunked'),
  coding('behind a lone CR', 'X: a\rTransfer-Encoding: chunked'),
  coding('behind a lone LF', 'X: a\nTransfer-Encoding: chunked'),
  coding('before a lone CR', 'Transfer-Encoding: chunked\rX: y'),
  coding('indented', ' Transfer-Encoding: chunked'),
  coding('behind a BOM', '\xef\xbb\xbfTransfer-Encoding: chunked'),
  coding('chunked, then identity in another field', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity'),
  get('bare LF after a field', 'X: a\nY: b\r\n'),
  get('lone CR in a value', 'X: a\rY: b\r\n'),
  get('NUL in a value', 'X: a\0b\r\n'),
  get('NUL in a name', 'X\0Y: a\r\n'),
  get('folded line', 'X: a\r\n folded\r\n'),
  get('line without colon', 'nothing\r\n'),
  get('empty name', ': empty\r\n'),
  get('space in a name', 'X Y: space\r\n'),
  get('8-bit name', 'X\xe4: a\r\n'),
  get('bracket in a name', 'X[: a\r\n'),
  ['leading space before the first field', `GET /{id} HTTP/1.1\r\n X: a\r\n${H}\r\n`],
  ['bare LF everywhere', 'GET /{id} HTTP/1.1\nHost: {host}\n\n'],
  ['lone CR everywhere', 'GET /{id} HTTP/1.1\rHost: {host}\r\r'],
  ['bare LF after the request line', `GET /{id} HTTP/1.1\n${H}\r\n`],
  ['HTTP/1.2', `GET /{id} HTTP/1.2\r\n${H}\r\n`],
  ['HTTP/2.0', `GET /{id} HTTP/2.0\r\n${H}\r\n`],
  ['HTTP/9.9', `GET /{id} HTTP/9.9\r\n${H}\r\n`],
  ['HTTP/1.1x', `GET /{id} HTTP/1.1x\r\n${H}\r\n`],
  ['HTTP/01.1', `GET /{id} HTTP/01.1\r\n${H}\r\n`],
  ['http/1.1', `GET /{id} http/1.1\r\n${H}\r\n`],
  ['another protocol', `GET /{id} ICAP/1.0\r\n${H}\r\n`],
  ['space after the version', `GET /{id} HTTP/1.1 \r\n${H}\r\n`],
  ['tabs in the request line', `GET\t/{id}\tHTTP/1.1\r\n${H}\r\n`],
  ['space in the path', `GET /{id} x HTTP/1.1\r\n${H}\r\n`],
  ['8-bit path', `GET /{id}\xe4 HTTP/1.1\r\n${H}\r\n`],
  ['NUL in the path', `GET /{id}\0 HTTP/1.1\r\n${H}\r\n`],
  ['fragment', `GET /{id}#x HTTP/1.1\r\n${H}\r\n`],
  ['path without a slash', `GET {id} HTTP/1.1\r\n${H}\r\n`],
  ['broken percent', `GET /{id}%zz HTTP/1.1\r\n${H}\r\n`],
  ['no target', `GET HTTP/1.1\r\n${H}\r\n`],
  ['lower-case method', `get /{id} HTTP/1.1\r\n${H}\r\n`],
  ['no method', ` /{id} HTTP/1.1\r\n${H}\r\n`],
  ['method with a bracket', `G(T /{id} HTTP/1.1\r\n${H}\r\n`],
  ['unknown method', `FOO /{id} HTTP/1.1\r\n${H}\r\n`],
  ['another protocol’s method', `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`],
  ['asterisk', `OPTIONS * HTTP/1.1\r\n${H}\r\n`],
  ['no host', 'GET /{id} HTTP/1.1\r\nX: a\r\n\r\n'],
  ['no host and HTTP/1.0', 'GET /{id} HTTP/1.0\r\n\r\n'],
  ['host twice', `GET /{id} HTTP/1.1\r\n${H}${H}\r\n${HIDDEN}`],
  ['another host first', `GET /{id} HTTP/1.1\r\nHost: other.example.com\r\n${H}\r\n${HIDDEN}`],
  ['another host last', `GET /{id} HTTP/1.1\r\n${H}host: other.example.com\r\n\r\n${HIDDEN}`],
  ['hosts in a list', 'GET /{id} HTTP/1.1\r\nHost: {host}, other.example.com\r\n\r\n'],
  ['host with a user', 'GET /{id} HTTP/1.1\r\nHost: user@{host}\r\n\r\n'],
  ['host with a path', 'GET /{id} HTTP/1.1\r\nHost: {host}/x\r\n\r\n'],
  ['host with a wrong port', 'GET /{id} HTTP/1.1\r\nHost: {host}:80x\r\n\r\n'],
  ['host with a space', 'GET /{id} HTTP/1.1\r\nHost: {host} x\r\n\r\n'],
  ['empty host', 'GET /{id} HTTP/1.1\r\nHost:\r\n\r\n'],
  ['space before the colon of the host', 'GET /{id} HTTP/1.1\r\nHost : {host}\r\n\r\n'],
  ['absolute-form against the host', `GET https://other.example.com/{id} HTTP/1.1\r\n${H}\r\n${HIDDEN}`],
  ['absolute-form with a user', `GET https://user@{host}/{id} HTTP/1.1\r\n${H}\r\n`],
  ['absolute-form of another scheme', `GET ftp://{host}/{id} HTTP/1.1\r\n${H}\r\n`],
]

/** Bodies whose head is fine. The connection ends; nothing whole reaches an upstream. */
const brokenBodies: readonly Row[] = [
  chunks('0x', `0x1\r\na\r\n0\r\n\r\n${HIDDEN}`),
  chunks('space before the size', ` 1\r\na\r\n0\r\n\r\n${HIDDEN}`),
  chunks('plus', `+1\r\na\r\n0\r\n\r\n${HIDDEN}`),
  chunks('minus', `-1\r\na\r\n0\r\n\r\n${HIDDEN}`),
  chunks('bare LF', '1\na\n0\n\n'),
  chunks('LF in an extension', `1;a\nb\r\na\r\n0\r\n\r\n${HIDDEN}`),
  chunks('size that overflows', 'fffffffffffffffff\r\nabc'),
  chunks('size that wraps', `10000000000000001\r\na\r\n0\r\n\r\n${HIDDEN}`),
  chunks('no size', `\r\na\r\n0\r\n\r\n${HIDDEN}`),
  chunks('no hexadecimal', `g\r\na\r\n0\r\n\r\n${HIDDEN}`),
  chunks('more than the size', `1\r\nab\r\n0\r\n\r\n${HIDDEN}`),
  chunks('end by something else', `1\r\naXX0\r\n\r\n${HIDDEN}`),
  chunks('CR twice', `1\r\r\na\r\n0\r\n\r\n${HIDDEN}`),
  chunks('NUL in the size', `1\0\r\na\r\n0\r\n\r\n${HIDDEN}`),
  chunks('trailer without colon', '1\r\na\r\n0\r\nnothing\r\n\r\n'),
  chunks('request in the place of trailers', `1\r\na\r\n0\r\n${HIDDEN}`),
  chunks('length in a trailer', `1\r\na\r\n0\r\nContent-Length: 60\r\n\r\n`),
  chunks('NUL in a trailer', '1\r\na\r\n0\r\nX: a\0b\r\n\r\n'),
]

/** Understood in one way: what the answers and the upstream are is written beside. */
const good: readonly RequestShape[] = [
  { name: 'plain', bytes: get('', '')[1], answers: [200], reaches: ['GET /{id} '] },
  { name: 'CRLF before', bytes: `\r\n${get('', '')[1]}`, answers: [200], reaches: ['GET /{id} '] },
  { name: 'HTTP/1.0', bytes: `GET /{id} HTTP/1.0\r\n${H}\r\n`, answers: [200], reaches: ['GET /{id} '] },
  {
    name: 'HTTP/1.0 ends the connection, whatever follows',
    bytes: `GET /{id} HTTP/1.0\r\n${H}\r\n${HIDDEN}`,
    answers: [200],
    reaches: ['GET /{id} '],
    mayEnd: true,
  },
  {
    name: 'what follows Connection: close',
    bytes: `GET /{id} HTTP/1.1\r\n${H}Connection: close\r\n\r\n${HIDDEN}`,
    answers: [200],
    reaches: ['GET /{id} '],
    mayEnd: true,
  },
  {
    name: 'absolute-form of the host',
    bytes: `GET https://{host}/{id} HTTP/1.1\r\n${H}\r\n`,
    answers: [200],
    reaches: ['GET /{id} '],
  },
  {
    name: 'request in a body',
    bytes: `POST /{id} HTTP/1.1\r\n${H}Content-Length: 18\r\n\r\nGET /x HTTP/1.1\r\n\r`,
    answers: [200],
    reaches: ['POST /{id} GET /x HTTP/1.1\r\n\r'],
  },
  {
    name: 'request in the body of a GET',
    bytes: `GET /{id} HTTP/1.1\r\n${H}Content-Length: 18\r\n\r\nGET /x HTTP/1.1\r\n\r`,
    answers: [200],
    reaches: ['GET /{id} GET /x HTTP/1.1\r\n\r'],
  },
  {
    name: 'request in a chunk',
    bytes: `POST /{id} HTTP/1.1\r\n${H}${CHUNKED}\r\n12\r\nGET /x HTTP/1.1\r\n\r\r\n0\r\n\r\n`,
    answers: [200],
    reaches: ['POST /{id} GET /x HTTP/1.1\r\n\r'],
  },
  {
    name: 'three, one after the other',
    bytes: [1, 2, 3].map((n) => `GET /{id}/${n} HTTP/1.1\r\n${H}\r\n`).join(''),
    answers: [200, 200, 200],
    reaches: ['GET /{id}/1 ', 'GET /{id}/2 ', 'GET /{id}/3 '],
  },
  {
    name: 'the next one right behind a body',
    bytes: `POST /{id}/1 HTTP/1.1\r\n${H}Content-Length: 4\r\n\r\nabcdGET /{id}/2 HTTP/1.1\r\n${H}\r\n`,
    answers: [200, 200],
    reaches: ['POST /{id}/1 abcd', 'GET /{id}/2 '],
  },
  {
    name: 'the next one right behind chunks',
    bytes: `POST /{id}/1 HTTP/1.1\r\n${H}${CHUNKED}\r\n4\r\nabcd\r\n0\r\n\r\nGET /{id}/2 HTTP/1.1\r\n${H}\r\n`,
    answers: [200, 200],
    reaches: ['POST /{id}/1 abcd', 'GET /{id}/2 '],
  },
  {
    name: 'body longer than its length',
    bytes: `POST /{id} HTTP/1.1\r\n${H}Content-Length: 2\r\n\r\nab(cd`,
    answers: [200, 400],
    reaches: ['POST /{id} ab'],
    mayEnd: true,
  },
  {
    name: 'chunks with extensions, leading zeros and upper case',
    bytes: `POST /{id} HTTP/1.1\r\n${H}transfer-encoding: Chunked\r\n\r\n004;a=b\r\nabcd\r\n0A\r\n0123456789\r\n00;last\r\n\r\n`,
    answers: [200],
    reaches: ['POST /{id} abcd0123456789'],
  },
  {
    name: 'chunks with trailers',
    bytes: `POST /{id} HTTP/1.1\r\n${H}${CHUNKED}\r\n4\r\nabcd\r\n0\r\nX-Sum: 60\r\nAuthorization: x\r\n\r\n`,
    answers: [200],
    reaches: ['POST /{id} abcd'],
  },
  {
    name: 'space around values',
    bytes: `POST /{id} HTTP/1.1\r\n${H}Content-Length:   4  \r\n\r\nabcd`,
    answers: [200],
    reaches: ['POST /{id} abcd'],
  },
  {
    name: 'a length under another name',
    bytes: `POST /{id}/1 HTTP/1.1\r\n${H}Content_Length: 4\r\n\r\nGET /{id}/2 HTTP/1.1\r\n${H}\r\n`,
    answers: [200, 200],
    reaches: ['POST /{id}/1 ', 'GET /{id}/2 '],
  },
  {
    name: 'fields that the connection says are its own',
    bytes: `POST /{id} HTTP/1.1\r\n${H}Connection: Content-Length, Transfer-Encoding, Host\r\nContent-Length: 4\r\n\r\nabcd`,
    answers: [200],
    reaches: ['POST /{id} abcd'],
  },
  {
    name: 'an upgrade to HTTP/2 that is not taken',
    bytes: `GET /{id} HTTP/1.1\r\n${H}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n`,
    answers: [200],
    reaches: ['GET /{id} '],
  },
  {
    name: 'forwarded fields that name another site',
    bytes: `GET /{id} HTTP/1.1\r\n${H}X-Forwarded-Host: other.example.com\r\nForwarded: host=other.example.com\r\n\r\n`,
    answers: [200],
    reaches: ['GET /{id} '],
  },
]

/** Refused for another reason than its form. */
const refused: readonly RequestShape[] = [
  ...['gzip, chunked', 'chunked, chunked', 'identity', 'identity, chunked', ',chunked', 'chunked,'].map((value) => ({
    name: `coding ${value}`,
    bytes: coding('', `Transfer-Encoding: ${value}`)[1],
    answers: [400, 501],
    reaches: [],
  })),
  {
    name: 'chunked twice',
    bytes: coding('', `${CHUNKED}Transfer-Encoding: chunked`)[1],
    answers: [400, 501],
    reaches: [],
  },
  { name: 'TRACE', bytes: `TRACE /{id} HTTP/1.1\r\n${H}\r\n`, answers: [501], reaches: [] },
  { name: 'CONNECT', bytes: `CONNECT {host}:443 HTTP/1.1\r\n${H}\r\n`, answers: [], reaches: [] },
  {
    name: 'absolute-form and host of another site',
    bytes: 'GET https://other.example.com/{id} HTTP/1.1\r\nHost: other.example.com\r\n\r\n',
    answers: [421],
    reaches: [],
  },
  {
    name: 'host of another site, and one of this behind',
    bytes: `GET /{id} HTTP/1.1\r\nHost: other.example.com\r\n\r\n${HIDDEN}`,
    answers: [421],
    reaches: [],
  },
]

const isBad = ([name, bytes]: Row): RequestShape => {
  return { name, bytes, answers: name.startsWith('coding') ? [400, 501] : [400], reaches: [] }
}
const endsAnyhow = ([name, bytes]: Row): RequestShape => ({ name, bytes, answers: [], reaches: [] })

/** All shapes. */
export const requestShapes: readonly RequestShape[] = [
  ...good,
  ...refused,
  ...bad.map(isBad),
  ...brokenBodies.map(endsAnyhow),
]

/** A shape's bytes for a host and a run. */
export function shapeBytes(shape: RequestShape, host: string, id: string): string {
  return shape.bytes.replaceAll('{host}', host).replaceAll('{id}', id)
}
