import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, isIPv4, type Server } from 'node:net'

const types = { A: 1, NS: 2, CNAME: 5, SOA: 6, TXT: 16, AAAA: 28, DS: 43, CAA: 257 } as const
const NOERROR = 0
const SERVFAIL = 2
const NXDOMAIN = 3
const REFUSED = 5
/** Bits of a head: what the server answers, and what the question may ask for. */
const RECURSIVE = 0x8180
const AUTHORITATIVE = 0x8400
const TRUNCATED = 0x0200
const CHECKING_DISABLED = 0x10
/** Answers above this go over TCP (the EDNS size that resolvers announce since 2020). */
const UDP_LIMIT_BYTES = 1_232

/** A record type that the test server holds. */
export type DnsType = keyof typeof types

/** A real DNS server on a loopback port, UDP and TCP, that answers as a recursive resolver would. */
export type TestDns = AsyncDisposable & {
  /** `127.0.0.1:<port>`, as `NAMEPLATE_DNS_SERVERS` takes it. */
  readonly address: string
  /** Every question so far, `TYPE name`, in order. */
  readonly questions: readonly string[]
  /** Replaces the records of a name and type; an empty list removes them. */
  set(type: DnsType, name: string, values: readonly string[]): void
  /** The records of a name and type. */
  get(type: DnsType, name: string): readonly string[]
  /**
   * From now on the name, or one type of it, is answered in this way. bogus: SERVFAIL unless the question
   * disables checking, as a validating resolver does; garbage: bytes that are no answer, then nothing.
   */
  fail(name: string, how: Failure | 'normal', type?: DnsType): void
  /** Forgets all records, failures and questions. */
  clear(): void
}

type Failure = 'servfail' | 'refused' | 'bogus' | 'silence' | 'garbage'
type Question = { id: number; name: string; type: number; isUnchecked: boolean; bytes: Buffer }
type Answer = { name: string; type: number; value: string }

/** Where a server listens, and whether it answers for zones of its own (it needs their SOA) or as a resolver. */
export type TestDnsOptions = { readonly host?: string; readonly port?: number; readonly isAuthoritative?: boolean }

/**
 * Starts the server. Names are compared without case; CNAMEs are followed within its own records. Values: of
 * CAA `flags tag value`, of SOA the primary server; an absence carries the SOA at or above the name.
 */
export async function startTestDns(options: TestDnsOptions = {}): Promise<TestDns> {
  const records = new Map<string, readonly string[]>()
  const failures = new Map<string, Failure>()
  const flags = options.isAuthoritative === true ? AUTHORITATIVE : RECURSIVE
  const questions: string[] = []
  const answer = (message: Buffer, limitBytes: number): Buffer | null => {
    const question = readQuestion(message)
    if (question === null) return null
    questions.push(`${typeName(question.type)} ${question.name}`)
    const failure = failures.get(`${typeName(question.type)} ${question.name}`) ?? failures.get(question.name)
    if (failure !== undefined && (failure !== 'bogus' || !question.isUnchecked)) return failed(failure, question, flags)
    const answers = resolve(records, question)
    const isKnown = answers.length > 0 || [...records.keys()].some((key) => key.endsWith(` ${question.name}`))
    const authorities = answers.length > 0 ? [] : soaAbove(records, question.name)
    const whole = reply(question, flags, isKnown ? NOERROR : NXDOMAIN, answers, authorities)
    return whole.length <= limitBytes ? whole : reply(question, flags | TRUNCATED, NOERROR, [], [])
  }
  const { udp, tcp, port } = await bindBoth(answer, options)
  return {
    address: `${options.host ?? '127.0.0.1'}:${port}`,
    questions,
    set(type, name, values) {
      const key = `${type} ${name.toLowerCase()}`
      if (values.length === 0) records.delete(key)
      else records.set(key, values)
    },
    get: (type, name) => records.get(`${type} ${name.toLowerCase()}`) ?? [],
    fail(name, how, type) {
      const key = type === undefined ? name.toLowerCase() : `${type} ${name.toLowerCase()}`
      if (how === 'normal') failures.delete(key)
      else failures.set(key, how)
    },
    clear() {
      records.clear()
      failures.clear()
      questions.length = 0
    },
    async [Symbol.asyncDispose]() {
      udp.close()
      tcp.close()
      await once(tcp, 'close')
    },
  }
}

function resolve(records: ReadonlyMap<string, readonly string[]>, question: Question): Answer[] {
  const answers: Answer[] = []
  let name = question.name
  for (let hops = 0; hops < 8; hops++) {
    const values = records.get(`${typeName(question.type)} ${name}`)
    for (const value of values ?? []) answers.push({ name, type: question.type, value })
    const alias = records.get(`CNAME ${name}`)?.[0]
    if (values !== undefined || alias === undefined) break
    answers.push({ name, type: types.CNAME, value: alias })
    name = alias.toLowerCase()
  }
  return answers
}

function failed(failure: Failure, question: Question, flags: number): Buffer | null {
  if (failure === 'silence') return null
  // The id of the question, then a response with counts and pointers that lead nowhere.
  if (failure === 'garbage') return Buffer.concat([uint16(question.id), Buffer.alloc(600, 0xc0)])
  return reply(question, flags, failure === 'refused' ? REFUSED : SERVFAIL, [], [])
}

/** The SOA of the closest zone at or above the name, where the server has one. */
function soaAbove(records: ReadonlyMap<string, readonly string[]>, name: string): Answer[] {
  for (let zone = name; zone !== ''; zone = zone.includes('.') ? zone.slice(zone.indexOf('.') + 1) : '') {
    const [value] = records.get(`SOA ${zone}`) ?? []
    if (value !== undefined) return [{ name: zone, type: types.SOA, value }]
  }
  return []
}

async function bindBoth(
  answer: (message: Buffer, limitBytes: number) => Buffer | null,
  { host = '127.0.0.1', port: wanted = 0 }: TestDnsOptions,
): Promise<{ udp: Socket; tcp: Server; port: number }> {
  for (let attempt = 0; ; attempt++) {
    const udp = createSocket('udp4')
    udp.bind(wanted, host)
    await once(udp, 'listening')
    const { port } = udp.address()
    const tcp = createServer((socket) => {
      let pending = Buffer.alloc(0)
      socket.on('error', () => socket.destroy())
      socket.on('data', (chunk: Buffer) => {
        pending = Buffer.concat([pending, chunk])
        if (pending.length < 2 || pending.length < 2 + pending.readUInt16BE(0)) return
        const message = answer(pending.subarray(2, 2 + pending.readUInt16BE(0)), 65_535)
        if (message !== null) socket.end(Buffer.concat([uint16(message.length), message]))
      })
    })
    try {
      tcp.listen(port, host)
      await once(tcp, 'listening')
    } catch (error) {
      udp.close()
      if (attempt === 20) throw error
      continue
    }
    udp.on('message', (message, peer) => {
      const bytes = answer(message, UDP_LIMIT_BYTES)
      if (bytes !== null) udp.send(bytes, peer.port, peer.address)
    })
    return { udp, tcp, port }
  }
}

function readQuestion(message: Buffer): Question | null {
  if (message.length < 17 || message.readUInt16BE(4) !== 1) return null
  const labels: string[] = []
  let at = 12
  while (at < message.length && message[at] !== 0) {
    const length = message[at] ?? 0
    labels.push(message.subarray(at + 1, at + 1 + length).toString('latin1'))
    at += 1 + length
  }
  if (at + 5 > message.length) return null
  const type = message.readUInt16BE(at + 1)
  return {
    id: message.readUInt16BE(0),
    name: labels.join('.').toLowerCase(),
    type,
    isUnchecked: (message.readUInt16BE(2) & CHECKING_DISABLED) !== 0,
    bytes: message.subarray(12, at + 5),
  }
}

function reply(
  question: Question,
  flags: number,
  code: number,
  answers: readonly Answer[],
  authorities: readonly Answer[],
): Buffer {
  const header = Buffer.alloc(12)
  header.writeUInt16BE(question.id, 0)
  header.writeUInt16BE(flags | code, 2)
  header.writeUInt16BE(1, 4)
  header.writeUInt16BE(answers.length, 6)
  header.writeUInt16BE(authorities.length, 8)
  return Buffer.concat([header, question.bytes, ...answers.map(record), ...authorities.map(record)])
}

/** TTL 0: a test that changes a record means it. */
function record({ name, type, value }: Answer): Buffer {
  const content = recordContent(type, value)
  return Buffer.concat([encodeName(name), uint16(type), uint16(1), Buffer.alloc(4), uint16(content.length), content])
}

function recordContent(type: number, value: string): Buffer {
  if (type === types.CNAME || type === types.NS) return encodeName(value)
  if (type === types.SOA) return Buffer.concat([encodeName(value), encodeName(value), Buffer.alloc(20)])
  if (type === types.DS) return Buffer.from(value, 'hex')
  if (type === types.CAA) {
    const [flags = '0', tag = '', ...rest] = value.split(' ')
    return Buffer.concat([Buffer.from([Number(flags), tag.length]), Buffer.from(tag), Buffer.from(rest.join(' '))])
  }
  if (type === types.TXT) {
    const bytes = Buffer.from(value)
    const parts: Buffer[] = []
    for (let at = 0; at === 0 || at < bytes.length; at += 255) {
      const part = bytes.subarray(at, at + 255)
      parts.push(Buffer.from([part.length]), part)
    }
    return Buffer.concat(parts)
  }
  return isIPv4(value) ? Buffer.from(value.split('.').map(Number)) : ipv6Bytes(value)
}

function ipv6Bytes(address: string): Buffer {
  const [head = '', tail] = address.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? [] : Array.from({ length: 8 - left.length - right.length }, () => '0')
  return Buffer.concat([...left, ...zeros, ...right].map((group) => uint16(Number.parseInt(group, 16))))
}

function encodeName(name: string): Buffer {
  const labels = name.split('.').map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]))
  return Buffer.concat([...labels, Buffer.alloc(1)])
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}

function typeName(type: number): string {
  return Object.entries(types).find(([, number]) => number === type)?.[0] ?? String(type)
}
