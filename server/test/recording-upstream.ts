import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer, type Socket } from 'node:net'

/** A request as an upstream saw it. Bytes are given as latin1. */
export type SeenRequest = {
  readonly method: string
  readonly target: string
  /** Names in lower case, in their order. */
  readonly fields: readonly (readonly [name: string, value: string])[]
  readonly body: string
}

/** An upstream that reads as strictly as RFC 9112 allows, and keeps everything. */
export type RecordingUpstream = AsyncDisposable & {
  readonly port: number
  readonly url: string
  /** Whole requests, in the order of their ends. */
  readonly seen: readonly SeenRequest[]
  /** What was no request: why, and the bytes. */
  readonly broken: readonly string[]
}

const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e]+) HTTP\/1\.[01]$/
const FIELD =
  /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\x20-\x7e\t\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)[ \t]*$/
const CHUNK_SIZE = /^[0-9a-f]{1,8}$/i

/** Starts it on 127.0.0.1. It answers `ok` to each request and keeps connections open. */
export async function startRecordingUpstream(): Promise<RecordingUpstream> {
  const seen: SeenRequest[] = []
  const broken: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket.on('close', () => sockets.delete(socket)).on('error', () => undefined))
    let buffered = ''
    socket.on('data', (piece) => {
      buffered += piece.toString('latin1')
      for (;;) {
        const step = readRequest(buffered)
        if (step === null) return
        if ('problem' in step) {
          broken.push(`${step.problem}: ${JSON.stringify(buffered)}`)
          return void socket.destroy()
        }
        buffered = buffered.slice(step.bytes)
        seen.push(step.request)
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n${step.request.method === 'HEAD' ? '' : 'ok'}`)
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    seen,
    broken,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

type Step = { readonly request: SeenRequest; readonly bytes: number } | { readonly problem: string } | null

/** The first request of what came so far; null while it is not whole. */
function readRequest(text: string): Step {
  const end = text.indexOf('\r\n\r\n')
  if (end < 0) return null
  const [line = '', ...lines] = text.slice(0, end).split('\r\n')
  const [, method, target] = REQUEST_LINE.exec(line) ?? []
  if (method === undefined || target === undefined) return { problem: 'no request line' }
  const fields: (readonly [string, string])[] = []
  for (const one of lines) {
    const [, name, value] = FIELD.exec(one) ?? []
    if (name === undefined || value === undefined) return { problem: `no field ${JSON.stringify(one)}` }
    fields.push([name.toLowerCase(), value])
  }
  const body = readBody(text, end + 4, fields)
  if (body === null || 'problem' in body) return body
  return { request: { method, target, fields, body: body.text }, bytes: body.end }
}

function readBody(
  text: string,
  start: number,
  fields: readonly (readonly [string, string])[],
): { text: string; end: number } | { problem: string } | null {
  const all = (name: string): string[] => fields.filter(([one]) => one === name).map(([, value]) => value)
  const [lengths, codings] = [all('content-length'), all('transfer-encoding')]
  if (lengths.length + codings.length > 1) return { problem: 'framed twice' }
  if (codings.length === 1) {
    return codings[0] === 'chunked' ? readChunks(text, start) : { problem: `coding ${String(codings[0])}` }
  }
  if (lengths.length === 0) return { text: '', end: start }
  if (!/^\d{1,9}$/.test(lengths[0] ?? '')) return { problem: `length ${String(lengths[0])}` }
  const end = start + Number(lengths[0])
  return text.length < end ? null : { text: text.slice(start, end), end }
}

function readChunks(text: string, start: number): { text: string; end: number } | { problem: string } | null {
  let at = start
  let body = ''
  for (;;) {
    const lineEnd = text.indexOf('\r\n', at)
    if (lineEnd < 0) return null
    const size = text.slice(at, lineEnd)
    if (!CHUNK_SIZE.test(size)) return { problem: `chunk size ${JSON.stringify(size)}` }
    const bytes = Number.parseInt(size, 16)
    const dataEnd = lineEnd + 2 + bytes
    if (text.length < dataEnd + 2) return null
    if (text.slice(dataEnd, dataEnd + 2) !== '\r\n') return { problem: 'a chunk without its end, or trailers' }
    if (bytes === 0) return { text: body, end: dataEnd + 2 }
    body += text.slice(lineEnd + 2, dataEnd)
    at = dataEnd + 2
  }
}
