import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { createDeadlines } from '../listener/deadlines.ts'
import { createPassages, type SpliceOutcome } from '../listener/http/splice-passage.ts'
import type { Peer, UpstreamGroup } from '../listener/http/upstream-group.ts'
import type { UpstreamSocket } from '../listener/http/upstream-sockets.ts'
import { mutate, type Random, seededRandom } from './mutations.ts'

const answers = [
  'HTTP/1.1 200 OK\r\nDate: d\r\nServer: x\r\nContent-Length: 26\r\nConnection: keep-alive\r\n\r\nabcdefghijklmnopqrstuvwxyz',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;e=f\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nT: 1\r\n\r\n',
  'HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno',
  'HTTP/1.0 200 OK\r\n\r\nuntil the end',
  'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n',
].map((text) => Buffer.from(text, 'latin1'))

/** How many ended in what way. */
export type FuzzCounts = { whole: number; refused: number; broken: number }

/**
 * Passes mutated answers, cut at random, through the byte path. Throws when one ends twice or never, when what a
 * visitor got and may go on from is not exactly one answer, or when an upstream's connection is kept after one that was not.
 */
export function fuzzAnswers(seed: number, runs: number): FuzzCounts {
  const random = seededRandom(seed)
  const counts: FuzzCounts = { whole: 0, refused: 0, broken: 0 }
  const deadlines = createDeadlines()
  for (let run = 0; run < runs; run += 1) {
    const answer = answers[random(answers.length)] as Buffer
    const bytes = random(10) === 0 ? answer : Buffer.from(mutate(answer, random))
    const { outcome, text, isKept } = passOne(bytes, random, deadlines)
    const where = (): string =>
      `seed ${seed} run ${run}: ${JSON.stringify(bytes.toString('latin1'))} gave ${JSON.stringify(text)}`
    if (outcome.keeps && !isOneAnswer(text)) throw new Error(`no answer, and the connection goes on: ${where()}`)
    if (isKept && !outcome.keeps) throw new Error(`kept after a broken answer: ${where()}`)
    if (!outcome.keeps) counts.broken += 1
    else if (text.startsWith('HTTP/1.1 502')) counts.refused += 1
    else counts.whole += 1
  }
  deadlines.close()
  return counts
}

/** One passage over sockets that only take notes: the parts under test see bytes, an end and a close. */
function passOne(bytes: Buffer, random: Random, deadlines: ReturnType<typeof createDeadlines>) {
  let text = ''
  let isKept = false
  const outcomes: SpliceOutcome[] = []
  const state = { destroyed: false, writableLength: 0 }
  const visitor = Object.assign(new EventEmitter(), state, {
    write(piece: Buffer) {
      text += piece.toString('latin1')
      return true
    },
    destroy() {
      visitor.destroyed = true
    },
  })
  const nothing = (): void => undefined
  const peer = { address: { basePath: '' } } as Peer
  const upstream = {
    socket: { destroyed: false, write: () => true, destroy: nothing, pause: nothing, resume: nothing },
    key: peer,
    deadline: { rearm: nothing, clear: nothing },
    isUsed: false,
    user: null,
  } as unknown as UpstreamSocket
  const group = {
    options: { proxy: { connectTimeoutMs: 1_000, responseTimeoutMs: 1_000 }, errorPages: {} },
    choose: (tried: readonly Peer[]) => (tried.length === 0 ? peer : null),
    succeeded: nothing,
    failed: nothing,
    sockets: {
      take: () => upstream,
      release(used: UpstreamSocket) {
        used.user = null
        isKept = true
      },
    },
  } as unknown as UpstreamGroup
  const passages = createPassages(visitor as unknown as Socket, deadlines)
  const request = {
    method: 'GET',
    target: '/',
    host: 'h',
    bytes,
    fieldsFrom: 0,
    fieldsEnd: 0,
    mayKeep: () => true,
  } as const
  passages.begin({ request, fields: '', group, done: (outcome) => void outcomes.push(outcome) })
  for (let at = 0; at < bytes.length && upstream.user !== null; ) {
    const size = 1 + random(40)
    upstream.user.onBytes(bytes.subarray(at, at + size))
    at += size
  }
  upstream.user?.onEnd()
  upstream.user?.onGone()
  const [outcome] = outcomes
  if (outcome === undefined || outcomes.length > 1 || passages.isBusy)
    throw new Error(`ended ${outcomes.length} times: ${JSON.stringify(bytes.toString('latin1'))}`)
  return { outcome, text, isKept }
}

/** Reads what a visitor got by itself, without the parsers under test. */
function isOneAnswer(text: string): boolean {
  const end = text.indexOf('\r\n\r\n')
  if (!/^HTTP\/1\.1 [1-9]\d\d[ \r]/.test(text) || end < 0) return false
  const head = text.slice(0, end + 2)
  const body = text.slice(end + 4)
  const lengths = [...head.matchAll(/\r\ncontent-length:[ \t]*(\d+)[ \t]*(?=\r)/gi)].map((match) => Number(match[1]))
  const isChunked = /\r\ntransfer-encoding:[ \t]*chunked[ \t]*\r/i.test(head)
  const isBodiless = /^HTTP\/1\.1 (?:1\d\d|204|304)/.test(head)
  if (lengths.length > 1 || (isChunked && lengths.length > 0)) return false
  if (isBodiless) return body === ''
  return isChunked ? isChunkedBody(body) : lengths.length === 1 && body.length === lengths[0]
}

function isChunkedBody(body: string): boolean {
  let at = 0
  for (;;) {
    const line = /^([0-9a-f]+)\r\n/i.exec(body.slice(at, at + 20))
    if (line === null) return false
    const size = Number.parseInt(line[1] as string, 16)
    at += line[0].length + size
    if (body.slice(at, at + 2) !== '\r\n') return false
    at += 2
    if (size === 0) return at === body.length
  }
}
