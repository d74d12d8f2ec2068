import { randomInt } from 'node:crypto'
import { isIP } from 'node:net'
import { type Answer, decode, encode, type Packet } from 'dns-packet'
import { type DnsTarget, exchangeTcp, exchangeUdp } from './dns-exchange.ts'

/** What UDP may carry without fragments (DNS Flag Day 2020); larger answers come over TCP. */
const UDP_BYTES = 1_232
/** An answer holds more records than this for nobody's good. */
const MAX_RECORDS = 200
const MAX_VALUE_LENGTH = 1_024
const FORMERR = 1
const NOTIMP = 4
/** RFC 8914: why a resolver failed, in an option of EDNS. */
const EXTENDED_ERROR = 15

const flags = { response: 0x8000, truncated: 0x0200, authoritative: 0x0400, authentic: 0x20 } as const
const RECURSION_DESIRED = 0x0100
const AUTHENTIC_DATA = 0x20
const CHECKING_DISABLED = 0x10

/** Record types that are asked for. */
export type DnsQueryType = 'A' | 'AAAA' | 'CAA' | 'CNAME' | 'DS' | 'NS' | 'SOA'

/** One question. `checkingDisabled` (RFC 4035 section 3.2.2) wants the data even if its signatures are wrong. */
export type DnsQuestion = {
  readonly name: string
  readonly type: DnsQueryType
  readonly isRecursive: boolean
  readonly checkingDisabled?: boolean
}

/** Names are lower case without the last dot; what is no letter, digit, `-`, `_`, `*` or `.` in them became `?`. */
export type DnsRecord =
  | { readonly name: string; readonly type: 'A' | 'AAAA' | 'CNAME' | 'NS'; readonly value: string }
  /** `value` is not read. */
  | { readonly name: string; readonly type: 'SOA' | 'DS'; readonly value: '' }
  | {
      readonly name: string
      readonly type: 'CAA'
      readonly flags: number
      readonly tag: string
      readonly value: string
    }

/** What came back. A reply with an error code is a reply. */
export type DnsReply =
  | {
      readonly kind: 'reply'
      /** `NOERROR`, `NXDOMAIN`, `SERVFAIL`, `REFUSED`, ... or `RCODE<n>`. */
      readonly code: string
      readonly isAuthoritative: boolean
      /** The resolver has checked the signatures (AD). */
      readonly isAuthentic: boolean
      readonly answers: readonly DnsRecord[]
      readonly authorities: readonly DnsRecord[]
      readonly additionals: readonly DnsRecord[]
      /** RFC 8914, for people; null when the server gives no reason. */
      readonly extendedError: string | null
    }
  | { readonly kind: 'none'; readonly reason: string }

/** `timeoutMs` is for all tries of one question together. */
export type DnsLimits = { readonly timeoutMs: number; readonly signal: AbortSignal }

/**
 * Asks one server one question over UDP, and over TCP when the answer is cut. Packets that are no answer to
 * this very question are ignored. Never throws, always ends within the limits. The caller judges the address.
 */
export async function queryDns(server: DnsTarget, question: DnsQuestion, limits: DnsLimits): Promise<DnsReply> {
  const signal = AbortSignal.any([limits.signal, AbortSignal.timeout(limits.timeoutMs)])
  try {
    const message = await exchange(server, question, true, limits.timeoutMs, signal)
    // A server from before EDNS (RFC 6891 section 7) is asked in its own tongue.
    const isOld = [FORMERR, NOTIMP].includes((message[3] ?? 0) & 15)
    return read(isOld ? await exchange(server, question, false, limits.timeoutMs, signal) : message)
  } catch (error) {
    return { kind: 'none', reason: reasonOf(error, signal) }
  }
}

async function exchange(
  server: DnsTarget,
  question: DnsQuestion,
  withEdns: boolean,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Buffer> {
  const query = encodeQuery(question, withEdns)
  const isAnswer = (answer: Buffer): boolean => isAnswerTo(answer, query)
  const message = await exchangeUdp(server, query, { timeoutMs, isAnswer, signal, resendMs: timeoutMs / 3 })
  const isCut = (message.readUInt16BE(2) & flags.truncated) !== 0
  return isCut ? exchangeTcp(server, query, { timeoutMs, isAnswer, signal }) : message
}

function encodeQuery(question: DnsQuestion, withEdns: boolean): Buffer {
  const { name, type, isRecursive, checkingDisabled } = question
  const packet: Packet = {
    type: 'query',
    id: randomInt(65_536),
    // AD in a question asks for AD in the answer (RFC 6840 section 5.7).
    flags: (isRecursive ? RECURSION_DESIRED | AUTHENTIC_DATA : 0) | (checkingDisabled ? CHECKING_DISABLED : 0),
    questions: [{ name, type, class: 'IN' }],
    additionals: withEdns ? [edns] : [],
  }
  return encode(packet)
}

const edns: Answer = {
  type: 'OPT',
  name: '.',
  udpPayloadSize: UDP_BYTES,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
}

/** The same id and, but for case, the same question: all else is garbage or forged (RFC 5452 section 9.1). */
function isAnswerTo(message: Buffer, query: Buffer): boolean {
  if (message.length < 12 || message.readUInt16BE(0) !== query.readUInt16BE(0)) return false
  const head = message.readUInt16BE(2)
  if ((head & flags.response) === 0) return false
  // Some servers leave the question out of an error.
  if (message.readUInt16BE(4) === 0) return (head & 15) !== 0
  const end = questionEnd(query)
  const asked = query.subarray(12, end).toString('latin1').toLowerCase()
  return message.subarray(12, end).toString('latin1').toLowerCase() === asked
}

function questionEnd(query: Buffer): number {
  let at = 12
  while ((query[at] ?? 0) !== 0) at += 1 + (query[at] ?? 0)
  return at + 5
}

function read(message: Buffer): DnsReply {
  const head = message.readUInt16BE(2)
  const base = {
    kind: 'reply',
    code: codes[head & 15] ?? `RCODE${head & 15}`,
    isAuthoritative: (head & flags.authoritative) !== 0,
    isAuthentic: (head & flags.authentic) !== 0,
  } as const
  if (message.readUInt16BE(4) === 0)
    return { ...base, answers: [], authorities: [], additionals: [], extendedError: null }
  try {
    const packet = decode(message)
    return {
      ...base,
      answers: records(packet.answers),
      authorities: records(packet.authorities),
      additionals: records(packet.additionals),
      extendedError: extendedError(packet.additionals),
    }
  } catch {
    return { kind: 'none', reason: 'it answered with a packet that cannot be read' }
  }
}

const codes = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED']

function records(answers: readonly Answer[] = []): DnsRecord[] {
  return answers.slice(0, MAX_RECORDS).flatMap((answer) => record(answer) ?? [])
}

function record(answer: Answer): DnsRecord | null {
  const name = plainName(answer.name)
  switch (answer.type) {
    case 'A':
    case 'AAAA':
      return isIP(answer.data) === (answer.type === 'A' ? 4 : 6)
        ? { name, type: answer.type, value: answer.data }
        : null
    case 'CNAME':
    case 'NS':
      return { name, type: answer.type, value: plainName(answer.data) }
    case 'SOA':
    case 'DS':
      return { name, type: answer.type, value: '' }
    case 'CAA': {
      const { flags: caaFlags = 0, tag, value } = answer.data
      return { name, type: 'CAA', flags: caaFlags, tag, value: value.slice(0, MAX_VALUE_LENGTH) }
    }
    default:
      return null
  }
}

/** The root is the empty name. */
function plainName(name: string): string {
  const bare = name.endsWith('.') ? name.slice(0, -1) : name
  return bare.toLowerCase().replace(/[^a-z0-9._*-]/g, '?')
}

function extendedError(additionals: readonly Answer[] = []): string | null {
  for (const answer of additionals) {
    if (answer.type !== 'OPT') continue
    const options = answer.options as readonly { readonly code: number; readonly data?: Buffer }[]
    const data = options.find(({ code }) => code === EXTENDED_ERROR)?.data
    if (data === undefined || data.length < 2) continue
    const code = data.readUInt16BE(0)
    const text = data
      .subarray(2, 130)
      .toString('utf8')
      .replace(/[^\x20-\x7e]/g, '?')
    const name = extendedErrors[code] ?? `error ${code}`
    return text === '' ? name : `${name}: ${text}`
  }
  return null
}

/** RFC 8914 section 4: those that tell of signatures and delegations. */
const extendedErrors: Readonly<Record<number, string>> = {
  1: 'unsupported signature algorithm',
  2: 'unsupported DS digest',
  5: 'signatures indeterminate',
  6: 'signatures do not fit',
  7: 'a signature has expired',
  8: 'a signature is not valid yet',
  9: 'the zone has no key that fits its DS record',
  10: 'a signature is missing',
  11: 'no zone key',
  12: 'the proof of absence is missing',
  22: 'no name server of the zone could be reached',
  23: 'a network error on the way to the name servers',
}

function reasonOf(error: unknown, signal: AbortSignal): string {
  return signal.aborted ? 'no answer in time' : (error as Error).message
}
