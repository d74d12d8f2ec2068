import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import { isIP } from 'node:net'
import tls from 'node:tls'

const TIMEOUT_MS = 30_000

/** One visitor's connection. */
export type VisitOptions = {
  readonly port: number
  /** The address that is dialled; default 127.0.0.1. */
  readonly address?: string
  /** What SNI says; null: no name at all. */
  readonly serverName: string | null
  /** What HTTP says; default: the server name, or the address. */
  readonly host?: string
  readonly path?: string
  /** PEM root; without it nothing is verified. */
  readonly ca?: string
  readonly protocol?: 'http/1.1' | 'h2'
}

/** What the visitor got. */
export type Visit = {
  readonly status: number
  readonly body: string
  /** SHA-256 of the leaf, hex, lower case. */
  readonly fingerprint: string
  readonly tlsVersion: string
  readonly names: string
}

/** Makes a new TLS connection and one request. Rejects with the TLS error, e.g. an alert. */
export async function visit(options: VisitOptions): Promise<Visit> {
  const protocol = options.protocol ?? 'http/1.1'
  const socket = await handshake(options, protocol)
  try {
    const leaf = socket.getPeerCertificate()
    const tlsVersion = socket.getProtocol() ?? ''
    const { address = '127.0.0.1' } = options
    const host = options.host ?? options.serverName ?? (address.includes(':') ? `[${address}]` : address)
    const ask = protocol === 'h2' ? askHttp2 : askHttp1
    const { status, body } = await ask(socket, host, options.path ?? '/')
    const fingerprint = leaf.fingerprint256.replaceAll(':', '').toLowerCase()
    return { status, body, fingerprint, tlsVersion, names: leaf.subjectaltname ?? '' }
  } finally {
    socket.destroy()
  }
}

async function handshake(options: VisitOptions, protocol: string): Promise<tls.TLSSocket> {
  const { serverName, ca } = options
  const socket = tls.connect({
    host: options.address ?? '127.0.0.1',
    port: options.port,
    ALPNProtocols: [protocol],
    rejectUnauthorized: ca !== undefined && serverName !== null,
    ...(ca === undefined ? {} : { ca }),
    ...(serverName === null || isIP(serverName) !== 0 ? { servername: '' } : { servername: serverName }),
  })
  socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error('the visit took too long')))
  await once(socket, 'secureConnect')
  return socket
}

async function askHttp1(socket: tls.TLSSocket, host: string, path: string): Promise<{ status: number; body: string }> {
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\nAccept-Encoding: identity\r\n\r\n`)
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk as Buffer)
  const text = Buffer.concat(chunks).toString()
  const end = text.indexOf('\r\n\r\n')
  return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]), body: text.slice(end + 4) }
}

async function askHttp2(socket: tls.TLSSocket, host: string, path: string): Promise<{ status: number; body: string }> {
  const session: ClientHttp2Session = connectHttp2(`https://${host}`, { createConnection: () => socket })
  try {
    const stream = session.request({ ':path': path, ':authority': host })
    const answered = once(stream, 'response') as Promise<[Record<string, unknown>]>
    const chunks: Buffer[] = []
    const [headers] = await answered
    for await (const chunk of stream) chunks.push(chunk as Buffer)
    return { status: Number(headers[':status']), body: Buffer.concat(chunks).toString() }
  } finally {
    session.close()
  }
}

/** Runs a program with a time limit; the exit code is part of the answer, not an error. */
export function run(
  command: string,
  args: readonly string[],
  input = '',
  timeoutMs = TIMEOUT_MS,
): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const options = { timeout: timeoutMs, maxBuffer: 16e6, encoding: 'utf8' as const }
    const child = execFile(command, args, options, (error, stdout, stderr) => {
      const code = typeof error?.code === 'number' ? error.code : error === null ? 0 : -1
      resolve({ code, stdout, stderr })
    })
    child.stdin?.on('error', () => undefined).end(input)
  })
}
