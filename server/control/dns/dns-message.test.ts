import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { mutate, seededRandom } from '../../test/mutations.ts'
import {
  classes,
  DnsFormatError,
  decodeMessage,
  decodeText,
  encodeMessage,
  encodeName,
  encodeText,
  flags,
  types,
} from './dns-message.ts'
import { signMessage, tsigErrors, verifyAnswer } from './tsig.ts'

const label = fc.stringMatching(/^[a-z0-9_-]{1,20}$/)
const name = fc.array(label, { minLength: 1, maxLength: 6 }).map((labels) => labels.join('.'))
const key = { name: 'acme-key', algorithm: 'hmac-sha256', secret: Buffer.alloc(32, 1) } as const

test('what is written is read again', () => {
  fc.assert(
    fc.property(name, name, fc.string({ maxLength: 600 }), (zone, fqdn, text) => {
      const message = encodeMessage({
        id: 7,
        flags: flags.update,
        questions: [{ name: zone, type: types.SOA, class: classes.IN }],
        authorities: [{ name: fqdn, type: types.TXT, class: classes.NONE, ttl: 0, data: encodeText(text) }],
      })
      const read = decodeMessage(message)
      expect(read).toMatchObject({ id: 7, flags: flags.update, questions: [{ name: zone, type: types.SOA }] })
      expect(read.authorities).toMatchObject([{ name: fqdn, type: types.TXT, class: classes.NONE, ttl: 0 }])
      expect(decodeText(read.authorities[0]?.data ?? new Uint8Array())).toBe(Buffer.from(text).toString())
    }),
  )
})

test.each(['a..b', `${'x'.repeat(64)}.test`, `${'abcdefg.'.repeat(32)}test`])('%s is no name', (text) => {
  expect(() => encodeName(text)).toThrow(DnsFormatError)
})

/** An answer with compressed names: a CNAME and its TXT. */
const answer = Buffer.concat([
  Buffer.from([0, 1, 0x84, 0, 0, 1, 0, 2, 0, 0, 0, 0]),
  encodeName('a.test'),
  Buffer.from([0, 16, 0, 1]),
  Buffer.from([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 0, 0, 4, 1, 98, 0xc0, 14]),
  Buffer.from([0xc0, 36, 0, 16, 0, 1, 0, 0, 0, 0, 0, 4, 3, 0x6f, 0x6e, 0x65]),
])

test('compressed names are followed', () => {
  const { answers } = decodeMessage(answer)
  expect(answers).toMatchObject([
    { name: 'a.test', type: types.CNAME, target: 'b.test' },
    { name: 'b.test', type: types.TXT, target: null },
  ])
  expect(decodeText(answers[1]?.data ?? new Uint8Array())).toBe('one')
})

describe('damaged messages', () => {
  test('each is read or refused, and none loops', () => {
    const random = seededRandom(20_261_128)
    let refused = 0
    for (let round = 0; round < 20_000; round += 1) {
      try {
        decodeMessage(mutate(answer, random))
      } catch (error) {
        expect(error).toBeInstanceOf(DnsFormatError)
        refused += 1
      }
    }
    expect(refused).toBeGreaterThan(1_000)
  })

  test.each([
    ['a pointer to itself', Buffer.from([0xc0, 12])],
    ['a pointer ahead', Buffer.from([0xc0, 40])],
    ['a label type that there is not', Buffer.from([0x80, 1, 0])],
  ])('%s', (_, bytes) => {
    const header = Buffer.from([0, 1, 0x84, 0, 0, 1, 0, 0, 0, 0, 0, 0])
    expect(() => decodeMessage(Buffer.concat([header, bytes, Buffer.alloc(40)]))).toThrow(DnsFormatError)
  })
})

/** An answer as a server signs it (RFC 8945 section 5.3), written apart from what is tested. */
function signedAnswer(requestMac: Buffer, now: number): Buffer {
  const answer = encodeMessage({ id: 9, flags: flags.response | flags.update, questions: [] })
  const algorithm = encodeName(key.algorithm)
  const time = Buffer.from(
    Math.floor(now / 1000)
      .toString(16)
      .padStart(12, '0'),
    'hex',
  )
  const fudge = Buffer.from([300 >> 8, 300 & 255])
  const noErrorNoOther = Buffer.alloc(4)
  const variables = [encodeName(key.name), Buffer.from([0, 255, 0, 0, 0, 0]), algorithm, time, fudge, noErrorNoOther]
  const length = Buffer.from([0, requestMac.length])
  const mac = createHmac('sha256', key.secret)
    .update(Buffer.concat([length, requestMac, answer, ...variables]))
    .digest()
  const data = Buffer.concat([
    algorithm,
    time,
    fudge,
    Buffer.from([0, mac.length]),
    mac,
    Buffer.from([0, 9]),
    noErrorNoOther,
  ])
  const head = Buffer.from([0, 250, 0, 255, 0, 0, 0, 0, data.length >> 8, data.length & 255])
  const signed = Buffer.concat([answer, encodeName(key.name), head, data])
  signed.writeUInt16BE(1, 10)
  return signed
}

describe('TSIG of answers', () => {
  const now = Date.UTC(2026, 10, 28)
  const request = signMessage(encodeMessage({ id: 9, flags: flags.update, questions: [] }), key, now)

  test('an answer without a signature, and one of our own request, prove nothing', () => {
    const plain = encodeMessage({ id: 9, flags: flags.response, questions: [] })
    expect(verifyAnswer(plain, key, request.mac, now)).toMatchObject({ kind: 'unverified', error: 0 })
    expect(verifyAnswer(request.bytes, key, request.mac, now)).toMatchObject({ kind: 'unverified' })
  })

  test('a signature of another time is not taken', () => {
    const signed = signedAnswer(request.mac, now)
    expect(verifyAnswer(signed, key, request.mac, now + 299_000)).toMatchObject({ kind: 'verified', error: 0 })
    expect(verifyAnswer(signed, key, request.mac, now + 302_000)).toMatchObject({
      kind: 'unverified',
      error: tsigErrors.BADTIME,
    })
  })

  test('no change of any byte is taken', () => {
    const signed = signedAnswer(request.mac, now)
    for (let at = 0; at < signed.length; at += 1) {
      const changed = Buffer.from(signed)
      changed[at] = (changed[at] ?? 0) ^ 0x01
      let kind: string
      try {
        kind = verifyAnswer(changed, key, request.mac, now).kind
      } catch (error) {
        expect(error).toBeInstanceOf(DnsFormatError)
        continue
      }
      // The id on the wire is not signed: the original one within the record is (RFC 8945 section 5.3.1).
      expect({ at, kind }).toEqual({ at, kind: at < 2 ? 'verified' : 'unverified' })
    }
  })
})
