import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { answerCall, MOST_BODY_BYTES, problemAnswer, type Request } from './answer.ts'
import { type Call, readCall } from './calls.ts'
import type { Context } from './context.ts'
import type { AnswerFault, FaultBoard } from './faults.ts'
import { AcmeProblem } from './problem.ts'
import { breakOff, sendAnswer, spoiltAnswer } from './send.ts'

/** Faults that leave the answer itself to the server. */
const changesNoAnswer = new Set<AnswerFault['kind']>(['slow', 'order-lost', 'account-lost', 'clock-skew'])

/** Answers one request. */
export async function handle(context: Context, incoming: IncomingMessage, reply: ServerResponse): Promise<void> {
  const target = new URL(incoming.url ?? '/', context.urls.directory())
  const call = readCall(target.pathname)
  const body = await readBody(incoming)
  if (call === null) {
    const problem = new AcmeProblem('malformed', 'Page not found', { status: 404 })
    sendAnswer(context, reply, problemAnswer(context, null, problem))
    return
  }
  const request = {
    url: target.href,
    body: body ?? Buffer.alloc(0),
    query: target.searchParams,
    address: incoming.socket.remoteAddress ?? '',
    method: incoming.method ?? 'GET',
    contentType: incoming.headers['content-type'],
    isTooLarge: body === null,
  }
  const hit = context.faults.takeAnswer(call.kind)
  if (hit !== null) {
    await answerWithFault(context, { call, request, incoming, reply }, hit)
    return
  }
  sendAnswer(context, reply, answerCall(context, call, request), { isHead: request.method === 'HEAD' })
}

type Exchange = { call: Call; request: Request; incoming: IncomingMessage; reply: ServerResponse }

/** The fault before the request's effect or after it. */
async function answerWithFault(
  context: Context,
  { call, request, incoming, reply }: Exchange,
  { fault, isAfterEffect }: NonNullable<ReturnType<FaultBoard['takeAnswer']>>,
): Promise<void> {
  const isHead = request.method === 'HEAD'
  if (!isAfterEffect) await prepare(context, call, request, fault)
  const isSpoilt = !changesNoAnswer.has(fault.kind)
  const answer = isSpoilt && !isAfterEffect ? null : answerCall(context, call, request)
  if (isAfterEffect) await prepare(context, call, request, fault)
  const sent = isSpoilt ? spoiltAnswer(fault) : answer
  if (sent === null) breakOff(incoming, fault)
  else sendAnswer(context, reply, sent, { isHead, skewMs: fault.kind === 'clock-skew' ? fault.byMs : 0 })
}

/** Waits, or loses what a fault says. */
async function prepare({ state }: Context, call: Call, request: Request, fault: AnswerFault): Promise<void> {
  if (fault.kind === 'slow') await sleep(fault.delayMs, undefined, { ref: false })
  if (fault.kind === 'order-lost') state.orders.delete(call.id)
  if (fault.kind === 'account-lost') state.accounts.delete(signerId(request.body))
}

function signerId(body: Buffer): string {
  try {
    const { kid } = JSON.parse(Buffer.from(JSON.parse(body.toString()).protected, 'base64url').toString())
    return String(kid).split('/').at(-1) ?? ''
  } catch {
    return ''
  }
}

/** Null when it is too large; the rest is read and dropped, so that the answer arrives. */
async function readBody(incoming: IncomingMessage): Promise<Buffer | null> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length <= MOST_BODY_BYTES) chunks.push(chunk)
  }
  return length > MOST_BODY_BYTES ? null : Buffer.concat(chunks)
}
