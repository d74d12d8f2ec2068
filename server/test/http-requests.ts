import type { IncomingHttpHeaders } from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import net from 'node:net'
import tls from 'node:tls'

/** Generous: only a hang fails by it. */
const TIMEOUT_MS = 40_000

/** Protocols that every table of requests runs over. */
export const protocols = ['http/1.1', 'h2'] as const

/** A request as a test writes it. The server name is the host unless it is given; null sends none. */
export type TestRequest = {
  readonly protocol?: (typeof protocols)[number]
  readonly port: number
  readonly host: string
  readonly serverName?: string | null
  readonly address?: string
  readonly method?: string
  /** Sent as it is. */
  readonly path?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Buffer
}

/** What came back. */
export type TestAnswer = { readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: Buffer }

/** One request on a connection of its own. Certificates are not verified: this is about HTTP. */
export function request(options: TestRequest): Promise<TestAnswer> {
  return options.protocol === 'h2' ? requestHttp2(options) : requestHttp1(options)
}

function requestHttp1(options: TestRequest): Promise<TestAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<TestAnswer>()
  const outgoing = https.request({
    host: options.address ?? '127.0.0.1',
    port: options.port,
    servername: (options.serverName === undefined ? options.host : options.serverName) ?? '',
    rejectUnauthorized: false,
    agent: false,
    method: options.method ?? 'GET',
    path: options.path ?? '/',
    headers: { host: options.host, ...lengthOf(options.body), ...options.headers },
    timeout: TIMEOUT_MS,
  })
  outgoing.on('timeout', () => outgoing.destroy(new Error('no answer in time')))
  outgoing.on('error', reject)
  outgoing.on('response', (response) => {
    const pieces: Buffer[] = []
    response.on('data', (piece: Buffer) => pieces.push(piece))
    response.on('error', reject)
    response.on('end', () =>
      resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(pieces) }),
    )
  })
  outgoing.end(options.body)
  return promise
}

function lengthOf(body: Buffer | undefined): Record<string, string> {
  return body === undefined ? {} : { 'content-length': String(body.length) }
}

/** Opens an HTTP/2 connection; the caller destroys it. */
export function openHttp2(
  options: Pick<TestRequest, 'port' | 'host' | 'serverName' | 'address'>,
): http2.ClientHttp2Session {
  const session = http2.connect('https://localhost', {
    createConnection: () =>
      tls.connect({
        host: options.address ?? '127.0.0.1',
        port: options.port,
        servername: (options.serverName === undefined ? options.host : options.serverName) ?? '',
        ALPNProtocols: ['h2'],
        rejectUnauthorized: false,
      }),
  })
  session.on('error', () => undefined)
  return session
}

/** One request on an open HTTP/2 connection. */
export function requestOn(
  session: http2.ClientHttp2Session,
  headers: http2.OutgoingHttpHeaders,
  body?: Buffer,
): Promise<TestAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<TestAnswer>()
  const stream = session.request(headers, { endStream: body === undefined })
  let answer: http2.IncomingHttpHeaders = {}
  const pieces: Buffer[] = []
  stream.setTimeout(TIMEOUT_MS, () => stream.destroy(new Error('no answer in time')))
  stream.on('response', (received) => {
    answer = received
  })
  stream.on('data', (piece: Buffer) => pieces.push(piece))
  stream.on('error', reject)
  stream.on('close', () => {
    const status = Number(answer[':status'] ?? 0)
    if (stream.rstCode !== 0) reject(new Error(`stream was reset: ${stream.rstCode}`))
    else resolve({ status, headers: answer as IncomingHttpHeaders, body: Buffer.concat(pieces) })
  })
  if (body !== undefined) stream.end(body)
  return promise
}

async function requestHttp2(options: TestRequest): Promise<TestAnswer> {
  const session = openHttp2(options)
  const { promise, reject } = Promise.withResolvers<never>()
  session.on('error', reject)
  const headers = {
    ':method': options.method ?? 'GET',
    ':path': options.path ?? '/',
    ':authority': options.host,
    ...options.headers,
  }
  try {
    return await Promise.race([requestOn(session, headers, options.body), promise])
  } finally {
    session.destroy()
  }
}

/** Where raw bytes go: over TLS unless `serverName` is left out. */
export type RawTarget = { readonly port: number; readonly serverName?: string }

/** Opens a connection for raw bytes. */
export async function openRaw(target: RawTarget): Promise<net.Socket> {
  const socket =
    target.serverName === undefined
      ? net.connect(target.port, '127.0.0.1')
      : tls.connect({ host: '127.0.0.1', port: target.port, servername: target.serverName, rejectUnauthorized: false })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.once(target.serverName === undefined ? 'connect' : 'secureConnect', resolve)
  socket.once('error', reject)
  await promise
  socket.on('error', () => undefined)
  return socket
}

/** Everything that a socket still brings, until it closes or `isEnough` says so. */
export function readAll(socket: net.Socket, isEnough: (text: string) => boolean = () => false): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  let text = ''
  const timer = setTimeout(() => reject(new Error(`still open after: ${text.slice(0, 200)}`)), TIMEOUT_MS)
  const done = (): void => {
    clearTimeout(timer)
    resolve(text)
  }
  socket.on('data', (piece: Buffer) => {
    text += piece.toString('latin1')
    if (isEnough(text)) done()
  })
  socket.on('close', done)
  if (socket.destroyed) done()
  return promise
}

/** Sends raw bytes and gives all that comes until the server closes, or until `isEnough`. */
export async function exchangeRaw(
  target: RawTarget,
  bytes: string,
  isEnough?: (text: string) => boolean,
): Promise<string> {
  const socket = await openRaw(target)
  const answer = readAll(socket, isEnough)
  socket.write(bytes, 'latin1')
  try {
    return await answer
  } finally {
    socket.destroy()
  }
}
