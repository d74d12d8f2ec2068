import { clearTextAnswer } from './clear-text.ts'
import { MAX_PEEK_BYTES, type Peeked, parseClientHello } from './client-hello.ts'
import type { EdgeReader } from './edge-store.ts'
import type { Wait } from './peek.ts'
import { tlsAlert } from './tls-alert.ts'

/** What the first bytes of a connection to a TLS port are; `clear-text`: HTTP, to be answered with these words. */
export type FirstBytes =
  | Extract<Peeked, { kind: 'hello' | 'sslv2' | 'bad' }>
  | { readonly kind: 'clear-text'; readonly words: string }

/** Of the PROXY protocol, version 1: from who is no load balancer of ours it is no HTTP method either. */
const PROXY = Buffer.from('PROXY ')

/** Judges them. `port`: the one that was dialled, asked for by clear-text HTTP alone, for its redirect. */
export function judgeFirstBytes(first: Buffer, reader: Pick<EdgeReader, 'get'>, port: () => number): FirstBytes | Wait {
  const peeked = parseClientHello(first)
  if (peeked.kind === 'need-more') {
    const isTooMuch = first.length > MAX_PEEK_BYTES
    return isTooMuch ? { kind: 'bad', alert: tlsAlert.decodeError } : { kind: 'wait', atLeast: peeked.atLeast }
  }
  if (peeked.kind !== 'plain-http') return peeked
  if (first.subarray(0, PROXY.length).equals(PROXY)) return { kind: 'bad', alert: null }
  const words = clearTextAnswer(first, reader, port())
  return words === null ? { kind: 'wait', atLeast: first.length + 1 } : { kind: 'clear-text', words }
}
