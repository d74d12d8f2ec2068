import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Answer, Context } from './context.ts'
import type { AnswerFault } from './faults.ts'
import { AcmeProblem } from './problem.ts'

const HUGE_BYTES = 10_000_000
const PAGE =
  '<!DOCTYPE html><html><head><title>Just a moment...</title></head><body><h1>Service is being looked after</h1></body></html>'

/** Sends an answer with the headers that all have: the link to the directory (RFC 8555 section 7.1) and the date. */
export function sendAnswer(
  { urls, settings }: Context,
  reply: ServerResponse,
  { status, headers = {}, body }: Answer,
  { isHead = false, skewMs = 0 }: { isHead?: boolean; skewMs?: number } = {},
): void {
  const text = typeof body === 'object' ? JSON.stringify(body) : (body ?? '')
  const links = typeof headers.link === 'string' ? [headers.link] : (headers.link ?? [])
  const all: Record<string, string | readonly string[]> = {
    'content-type': 'application/json',
    ...headers,
    date: new Date(settings.clock() + skewMs).toUTCString(),
    link: [...links, `<${urls.directory()}>;rel="index"`],
    'content-length': String(Buffer.byteLength(text)),
  }
  reply.writeHead(status, all as Record<string, string | string[]>)
  reply.end(isHead ? undefined : text)
}

/** What a fault answers instead; null where nothing is to be sent, for which `breakOff` is there. */
export function spoiltAnswer(fault: AnswerFault): Answer | null {
  const page = (status: number, type: string, body: string, headers: Record<string, string> = {}): Answer => {
    return { status, headers: { 'content-type': type, ...headers }, body }
  }
  switch (fault.kind) {
    case 'status':
      return page(fault.status, 'text/plain', fault.body ?? 'upstream failure', retryAfter(fault.retryAfter))
    case 'problem':
      return problemPage(fault)
    case 'html':
      return page(fault.status ?? 200, 'text/html', PAGE)
    case 'huge':
      return page(200, 'application/json', `"${'a'.repeat(fault.bytes ?? HUGE_BYTES)}"`)
    case 'redirect':
      return page(302, 'text/plain', '', { location: fault.location })
    case 'wrong-json':
      return page(200, 'application/json', fault.body ?? '{"status":"val')
    default:
      return null
  }
}

/** Closes the connection for the fault `close`; for `silence` it stays as it is. */
export function breakOff(incoming: IncomingMessage, fault: AnswerFault): void {
  if (fault.kind === 'close') incoming.socket.destroy()
}

function problemPage(fault: Extract<AnswerFault, { kind: 'problem' }>): Answer {
  const { type, detail, status, subproblems = [] } = fault
  const problem = new AcmeProblem(type, detail, { subproblems, ...(status === undefined ? {} : { status }) })
  const headers = { 'content-type': 'application/problem+json', ...retryAfter(fault.retryAfter) }
  return { status: problem.status, headers, body: problem.document() }
}

function retryAfter(value: string | undefined): Record<string, string> {
  return value === undefined ? {} : { 'retry-after': value }
}
