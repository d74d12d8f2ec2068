import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createStreamParser, type StreamMessage } from './event-stream.ts'

function parseAll(chunks: readonly string[]): StreamMessage[] {
  const messages: StreamMessage[] = []
  const parse = createStreamParser((message) => messages.push(message))
  for (const chunk of chunks) parse(chunk)
  return messages
}

describe('the event stream', () => {
  test('gives id, event and data of each message', () => {
    expect(parseAll(['id: 7\nevent: hostname.verified\ndata: {"a":1}\n\n'])).toEqual([
      { id: '7', event: 'hostname.verified', data: '{"a":1}' },
    ])
  })

  test('keeps the last id for a message without one', () => {
    expect(parseAll(['id: 7\ndata: one\n\ndata: two\n\n']).map(({ id }) => id)).toEqual(['7', '7'])
  })

  test('joins several data lines and leaves out heartbeats', () => {
    expect(parseAll([': ping\n\n', 'data: one\ndata: two\n\n'])).toEqual([
      { id: '', event: 'message', data: 'one\ntwo' },
    ])
  })

  test('does not tell of a message that is not finished', () => {
    expect(parseAll(['id: 1\ndata: one\n'])).toEqual([])
  })

  test('refuses a message without an end', () => {
    expect(() => parseAll(['data: '.padEnd(1_000_001, 'x')])).toThrow('too long')
  })

  test('gives the same however the bytes are cut', () => {
    const line = fc.stringMatching(/^[a-z0-9 {}:"]{1,20}$/)
    fc.assert(
      fc.property(
        fc.array(line, { minLength: 1 }),
        fc.infiniteStream(fc.nat({ max: 9 })),
        fc.boolean(),
        (lines, cuts, isCrLf) => {
          const text = lines.map((data, id) => `id: ${id}\ndata: ${data}\n\n`).join('')
          const sent = isCrLf ? text.replaceAll('\n', '\r\n') : text
          const chunks: string[] = []
          for (let at = 0; at < sent.length; ) {
            const size = 1 + (cuts.next().value ?? 0)
            chunks.push(sent.slice(at, at + size))
            at += size
          }
          expect(parseAll(chunks).map(({ data }) => data)).toEqual(lines)
        },
      ),
    )
  })
})
