import { expect, test } from 'vitest'
import { MAX_TAIL_CHARS, MAX_TAIL_LINES } from '../../contract/link.ts'
import { createLogTail } from './log-tail.ts'

test('lines of sites that are followed are told once, in order, and no others', () => {
  const tail = createLogTail()
  tail.offer('a', 'before')
  tail.follow(['a', 'b'])
  for (const line of ['one', 'two']) tail.offer('a', line)
  tail.offer('c', 'of nobody')
  expect(tail.take()).toEqual([{ siteId: 'a', lines: ['one', 'two'], leftOut: 0 }])
  expect(tail.take()).toEqual([])
})

test('what waits is kept for a site that goes on being followed, and forgotten for another', () => {
  const tail = createLogTail()
  tail.follow(['a', 'b'])
  tail.offer('a', 'one')
  tail.offer('b', 'two')
  tail.follow(['b'])
  expect(tail.take()).toEqual([{ siteId: 'b', lines: ['two'], leftOut: 0 }])
})

test('long lines are few: a message stays below the largest frame', () => {
  const tail = createLogTail()
  tail.follow(['a'])
  for (let at = 0; at < 500; at += 1) tail.offer('a', 'x'.repeat(20_000))
  const [first] = tail.take()
  const chars = first?.lines.join('').length ?? 0
  expect(chars).toBeLessThanOrEqual(MAX_TAIL_CHARS)
  expect([chars > 0, (first?.lines.length ?? 0) + (first?.leftOut ?? 0)]).toEqual([true, 500])
  tail.offer('a', 'y'.repeat(MAX_TAIL_CHARS + 1))
  expect(tail.take()).toEqual([{ siteId: 'a', lines: [], leftOut: 1 }])
})

test('what is too much is counted', () => {
  const tail = createLogTail()
  tail.follow(['a'])
  for (let at = 0; at < MAX_TAIL_LINES + 3; at += 1) tail.offer('a', String(at))
  const [first] = tail.take()
  expect([first?.lines.length, first?.lines.at(-1), first?.leftOut]).toEqual([MAX_TAIL_LINES, '499', 3])
  tail.offer('a', 'next')
  expect(tail.take()).toEqual([{ siteId: 'a', lines: ['next'], leftOut: 0 }])
})
