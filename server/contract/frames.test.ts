import fc from 'fast-check'
import { expect, test } from 'vitest'
import { encodeFrame, FrameError, FrameReader, MAX_FRAME_BYTES } from './frames.ts'

test('messages come out as they went in, however the bytes are cut', () => {
  const messages = fc.array(fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.integer(), fc.constant(null))), {
    maxLength: 8,
  })
  fc.assert(
    fc.property(messages, fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), (sent, cuts) => {
      const bytes = Buffer.concat(sent.map((message) => encodeFrame(message)))
      const reader = new FrameReader()
      const received: unknown[] = []
      for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
        const size = cuts[turn % cuts.length] ?? 1
        reader.push(bytes.subarray(at, at + size))
        at += size
        for (let message = reader.next(); message !== undefined; message = reader.next()) received.push(message)
      }
      expect(received).toEqual(JSON.parse(JSON.stringify(sent)))
    }),
  )
})

test('raw bytes after a frame are handed out as they are', () => {
  const reader = new FrameReader()
  reader.push(Buffer.concat([encodeFrame({ bytes: 5 }), Buffer.from('hello'), encodeFrame({ next: true })]))
  expect(reader.next()).toEqual({ bytes: 5 })
  expect(reader.takeRaw(5).toString()).toBe('hello')
  expect(reader.next()).toEqual({ next: true })
  expect(reader.takeRaw(5)).toHaveLength(0)
})

test('an oversized frame and one that is not JSON are refused', () => {
  const tooLong = Buffer.alloc(4)
  tooLong.writeUInt32BE(MAX_FRAME_BYTES + 1)
  const reader = new FrameReader()
  reader.push(tooLong)
  expect(() => reader.next()).toThrow(FrameError)
  const garbled = new FrameReader()
  garbled.push(Buffer.from([0, 0, 0, 2, 0x7b, 0x7b]))
  expect(() => garbled.next()).toThrow(FrameError)
  expect(() => encodeFrame('x'.repeat(MAX_FRAME_BYTES))).toThrow(FrameError)
})
