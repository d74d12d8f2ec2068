/**
 * DNS messages (RFC 1035 section 4.1) as far as queries, updates (RFC 2136) and TSIG (RFC 8945) need
 * them. Our own, since the bytes themselves matter here: a signature covers the message up to where its
 * last record begins, an update has records without data and of class NONE, and every answer comes
 * from a server that a tenant names.
 */

/** Record types by number (IANA, DNS parameters). */
export const types = { A: 1, NS: 2, CNAME: 5, SOA: 6, TXT: 16, AAAA: 28, TSIG: 250, ANY: 255 } as const
/** Classes; NONE and ANY have a meaning in updates alone (RFC 2136 section 2.5) and in TSIG. */
export const classes = { IN: 1, NONE: 254, ANY: 255 } as const
/** Response codes (RFC 1035, 2136, 8945). */
export const rcodes = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  NOTAUTH: 9,
  NOTZONE: 10,
}
/** Bits of the header's second word. */
export const flags = { response: 0x8000, update: 5 << 11, authoritative: 0x0400, truncated: 0x0200, recurse: 0x0100 }

const HEADER_BYTES = 12
const MAX_LABEL_BYTES = 63
const MAX_NAME_BYTES = 255
/** No answer that we ask for has more; what is more is refused before it is read. */
const MAX_RECORDS = 500

/** Bytes that are no message, or a name or value that fits into none. */
export class DnsFormatError extends Error {
  override name = 'DnsFormatError'
}

/** What is asked; in an update, the zone. Names have no trailing dot, the root is ''. */
export type Question = { readonly name: string; readonly type: number; readonly class: number }

/** A record as it is written. */
export type NewRecord = Question & { readonly ttl: number; readonly data: Uint8Array }

/** A record as it was read. `target` is the name in a CNAME, an NS or (the first one) a SOA. */
export type ReadRecord = NewRecord & { readonly target: string | null }

/** A message to write. */
export type NewMessage = {
  readonly id: number
  readonly flags: number
  readonly questions: readonly Question[]
  /** In an update the second section is what must be there before, the third what changes. */
  readonly authorities?: readonly NewRecord[]
}

/** A message that was read. `lastRecordAt` is where its last record begins, or its length without any. */
export type ReadMessage = {
  readonly id: number
  readonly flags: number
  readonly rcode: number
  readonly questions: readonly Question[]
  readonly answers: readonly ReadRecord[]
  readonly authorities: readonly ReadRecord[]
  readonly additionals: readonly ReadRecord[]
  readonly lastRecordAt: number
}

/** Writes a message, without compression. Throws `DnsFormatError` for a name that is none. */
export function encodeMessage(message: NewMessage): Buffer {
  const { id, questions, authorities = [] } = message
  const header = Buffer.alloc(HEADER_BYTES)
  const words = [id, message.flags, questions.length, 0, authorities.length, 0]
  words.forEach((word, index) => {
    header.writeUInt16BE(word, index * 2)
  })
  const asked = questions.map((question) =>
    Buffer.concat([encodeName(question.name), uint16(question.type), uint16(question.class)]),
  )
  return Buffer.concat([header, ...asked, ...authorities.map(encodeRecord)])
}

/** Writes one record. */
export function encodeRecord({ name, type, class: kind, ttl, data }: NewRecord): Buffer {
  const head = Buffer.concat([encodeName(name), uint16(type), uint16(kind), Buffer.alloc(4), uint16(data.length)])
  head.writeUInt32BE(ttl, head.length - 6)
  return Buffer.concat([head, data])
}

/** A name in canonical wire form (RFC 4034 section 6.2: lower case, not compressed). Throws `DnsFormatError`. */
export function encodeName(name: string): Buffer {
  const labels = name === '' ? [] : name.toLowerCase().split('.')
  const parts = labels.map((label) => {
    const bytes = Buffer.from(label, 'latin1')
    if (bytes.length === 0 || bytes.length > MAX_LABEL_BYTES) throw new DnsFormatError(`${name}: is no name of the DNS`)
    return Buffer.concat([Buffer.from([bytes.length]), bytes])
  })
  const wire = Buffer.concat([...parts, Buffer.alloc(1)])
  if (wire.length > MAX_NAME_BYTES) throw new DnsFormatError(`${name}: is too long a name for the DNS`)
  return wire
}

/** TXT data: strings of at most 255 bytes, one after the other (RFC 1035 section 3.3.14). */
export function encodeText(value: string): Buffer {
  const bytes = Buffer.from(value)
  const parts: Buffer[] = []
  for (let at = 0; at === 0 || at < bytes.length; at += 255) {
    const part = bytes.subarray(at, at + 255)
    parts.push(Buffer.from([part.length]), part)
  }
  return Buffer.concat(parts)
}

/** The strings of TXT data, joined. Damaged data gives what could be read. */
export function decodeText(data: Uint8Array): string {
  const parts: Uint8Array[] = []
  for (let at = 0; at < data.length; at += 1 + (data[at] ?? 0))
    parts.push(data.subarray(at + 1, at + 1 + (data[at] ?? 0)))
  return Buffer.concat(parts).toString('utf8')
}

/** Reads a message; every length and pointer in it is checked. Throws `DnsFormatError`. */
export function decodeMessage(bytes: Buffer): ReadMessage {
  if (bytes.length < HEADER_BYTES) throw new DnsFormatError('shorter than a header')
  const word = (index: number): number => bytes.readUInt16BE(index * 2)
  const counts = [word(3), word(4), word(5)] as const
  if (word(2) > 1 || counts[0] + counts[1] + counts[2] > MAX_RECORDS) throw new DnsFormatError('too many records')
  let at = HEADER_BYTES
  let lastRecordAt = bytes.length
  const questions: Question[] = []
  for (let index = 0; index < word(2); index += 1) {
    const { name, next } = decodeName(bytes, at)
    need(bytes, next, 4)
    questions.push({ name, type: bytes.readUInt16BE(next), class: bytes.readUInt16BE(next + 2) })
    at = next + 4
  }
  const section = (count: number): ReadRecord[] =>
    Array.from({ length: count }, () => {
      const { record, next } = decodeRecord(bytes, at)
      lastRecordAt = at
      at = next
      return record
    })
  const [answers, authorities, additionals] = [section(counts[0]), section(counts[1]), section(counts[2])]
  return {
    id: word(0),
    flags: word(1),
    rcode: word(1) & 0xf,
    questions,
    answers,
    authorities,
    additionals,
    lastRecordAt,
  }
}

function decodeRecord(bytes: Buffer, start: number): { record: ReadRecord; next: number } {
  const { name, next: at } = decodeName(bytes, start)
  need(bytes, at, 10)
  const type = bytes.readUInt16BE(at)
  const length = bytes.readUInt16BE(at + 8)
  const from = at + 10
  need(bytes, from, length)
  const hasTarget = length > 0 && (type === types.CNAME || type === types.NS || type === types.SOA)
  return {
    record: {
      name,
      type,
      class: bytes.readUInt16BE(at + 2),
      ttl: bytes.readUInt32BE(at + 4),
      data: bytes.subarray(from, from + length),
      target: hasTarget ? decodeName(bytes, from).name : null,
    },
    next: from + length,
  }
}

/**
 * A name at a place, lower case, pointers followed. Each pointer must lead further back than the one
 * before, so that no loop is possible. Bytes that host names do not have are written `\ddd`.
 */
export function decodeName(bytes: Buffer, start: number): { name: string; next: number } {
  const labels: string[] = []
  let next: number | null = null
  let at = start
  let before = start
  let length = 0
  for (;;) {
    need(bytes, at, 1)
    const size = bytes[at] ?? 0
    if (size === 0) return { name: labels.join('.'), next: next ?? at + 1 }
    if (size >= 0xc0) {
      need(bytes, at, 2)
      next ??= at + 2
      at = bytes.readUInt16BE(at) & 0x3fff
      if (at >= before) throw new DnsFormatError('a pointer that does not lead back')
      before = at
      continue
    }
    length += size + 1
    if (size > MAX_LABEL_BYTES || length >= MAX_NAME_BYTES) throw new DnsFormatError('a name that is too long')
    need(bytes, at + 1, size)
    labels.push(escaped(bytes.subarray(at + 1, at + 1 + size)))
    at += 1 + size
  }
}

function escaped(label: Buffer): string {
  const text = label.toString('latin1').toLowerCase()
  return text.replace(/[^a-z0-9_*-]/g, (char) => `\\${String(char.charCodeAt(0)).padStart(3, '0')}`)
}

function need(bytes: Buffer, at: number, count: number): void {
  if (at + count > bytes.length) throw new DnsFormatError('it ends in the middle')
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}
