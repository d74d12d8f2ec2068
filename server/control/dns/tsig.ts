import { createHmac, timingSafeEqual } from 'node:crypto'
import { classes, decodeMessage, decodeName, encodeName, encodeRecord, type ReadMessage, types } from './dns-message.ts'

/** Seconds that the two clocks may differ (RFC 8945 section 10 recommends 300). */
const FUDGE_SECONDS = 300

/** Algorithms by their names in the key files of name servers (RFC 8945 section 6). */
export const tsigAlgorithms = { 'hmac-sha256': 'sha256', 'hmac-sha512': 'sha512' } as const

/** A shared key. `name` without the trailing dot. */
export type TsigKey = {
  readonly name: string
  readonly algorithm: keyof typeof tsigAlgorithms
  readonly secret: Uint8Array
}

/** TSIG errors of an answer (RFC 8945 section 3). */
export const tsigErrors = { BADSIG: 16, BADKEY: 17, BADTIME: 18, BADTRUNC: 22 } as const

/** What the signature of an answer says: `error` is the server's TSIG error, 0 for none. */
export type TsigVerdict =
  | { readonly kind: 'verified'; readonly error: number; readonly message: ReadMessage }
  /** No signature, one that is not the key's, or an error that cannot be signed (BADKEY, BADSIG). */
  | { readonly kind: 'unverified'; readonly error: number; readonly message: ReadMessage }

/** A signed request, and its MAC, which the answer's signature covers. */
export type SignedMessage = { readonly bytes: Buffer; readonly mac: Buffer }

/** Appends a TSIG record to a message (RFC 8945 section 5.1). `now` in milliseconds. */
export function signMessage(message: Buffer, key: TsigKey, now: number): SignedMessage {
  const fields = { timeSigned: Math.floor(now / 1000), fudge: FUDGE_SECONDS, error: 0, other: Buffer.alloc(0) }
  const mac = createHmac(tsigAlgorithms[key.algorithm], key.secret)
    .update(message)
    .update(variables(key, fields))
    .digest()
  const data = Buffer.concat([
    encodeName(key.algorithm),
    uint48(fields.timeSigned),
    uint16(fields.fudge),
    uint16(mac.length),
    mac,
    message.subarray(0, 2),
    uint16(fields.error),
    uint16(fields.other.length),
  ])
  const record = encodeRecord({ name: key.name, type: types.TSIG, class: classes.ANY, ttl: 0, data })
  const bytes = Buffer.concat([message, record])
  bytes.writeUInt16BE(bytes.readUInt16BE(10) + 1, 10)
  return { bytes, mac }
}

/**
 * Verifies the answer to a request of `requestMac` (RFC 8945 section 5.4). The time of the answer counts
 * too: a good signature of another time is not verified. Throws `DnsFormatError` when it is no message.
 */
export function verifyAnswer(answer: Buffer, key: TsigKey, requestMac: Buffer, now: number): TsigVerdict {
  const message = decodeMessage(answer)
  const last = message.additionals.at(-1)
  if (last?.type !== types.TSIG) return { kind: 'unverified', error: 0, message }
  const tsig = readTsig(Buffer.from(last.data))
  if (tsig === null) return { kind: 'unverified', error: 0, message }
  const { error } = tsig
  const isWellFormed = last.class === classes.ANY && last.ttl === 0
  const isOurs = isWellFormed && last.name === key.name.toLowerCase() && tsig.algorithm === key.algorithm
  if (!isOurs || !isMac(answer, message, key, requestMac, tsig)) return { kind: 'unverified', error, message }
  const skewSeconds = Math.abs(now / 1000 - tsig.timeSigned)
  const isTimely = skewSeconds <= tsig.fudge || error === tsigErrors.BADTIME
  return { kind: isTimely ? 'verified' : 'unverified', error: isTimely ? error : tsigErrors.BADTIME, message }
}

type TsigFields = {
  readonly timeSigned: number
  readonly fudge: number
  readonly error: number
  readonly other: Buffer
}
type ReadTsig = TsigFields & { readonly algorithm: string; readonly mac: Buffer; readonly originalId: number }

function readTsig(data: Buffer): ReadTsig | null {
  try {
    const { name: algorithm, next } = decodeName(data, 0)
    const macLength = data.readUInt16BE(next + 8)
    const after = next + 10 + macLength
    const otherLength = data.readUInt16BE(after + 4)
    if (after + 6 + otherLength !== data.length) return null
    return {
      algorithm,
      timeSigned: data.readUIntBE(next, 6),
      fudge: data.readUInt16BE(next + 6),
      mac: data.subarray(next + 10, after),
      originalId: data.readUInt16BE(after),
      error: data.readUInt16BE(after + 2),
      other: data.subarray(after + 6),
    }
  } catch {
    return null
  }
}

/** The digest of an answer: the request's MAC, the message as it was before it was signed, the variables. */
function isMac(answer: Buffer, message: ReadMessage, key: TsigKey, requestMac: Buffer, tsig: ReadTsig): boolean {
  const unsigned = Buffer.from(answer.subarray(0, message.lastRecordAt))
  unsigned.writeUInt16BE(tsig.originalId, 0)
  unsigned.writeUInt16BE(unsigned.readUInt16BE(10) - 1, 10)
  const expected = createHmac(tsigAlgorithms[key.algorithm], key.secret)
    .update(uint16(requestMac.length))
    .update(requestMac)
    .update(unsigned)
    .update(variables(key, tsig))
    .digest()
  return tsig.mac.length === expected.length && timingSafeEqual(tsig.mac, expected)
}

/** RFC 8945 section 4.3.3. */
function variables(key: TsigKey, { timeSigned, fudge, error, other }: TsigFields): Buffer {
  return Buffer.concat([
    encodeName(key.name),
    uint16(classes.ANY),
    Buffer.alloc(4),
    encodeName(key.algorithm),
    uint48(timeSigned),
    uint16(fudge),
    uint16(error),
    uint16(other.length),
    other,
  ])
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}

function uint48(value: number): Buffer {
  const bytes = Buffer.alloc(6)
  bytes.writeUIntBE(value, 0, 6)
  return bytes
}
