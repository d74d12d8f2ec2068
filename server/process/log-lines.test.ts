import { expect, test } from 'vitest'
import { readableLine } from './log-lines.ts'

const time = new Date(2026, 0, 2, 13, 4, 5).getTime()
const line = (fields: object): string => readableLine(JSON.stringify({ level: 30, time, part: 'control', ...fields }))

test('time, part, words and fields', () => {
  expect(line({ msg: 'certificate issued', names: ['a.test'], revision: 7, state: 'valid' })).toBe(
    '13:04:05 control  certificate issued  names=["a.test"]  revision=7  state=valid\n',
  )
})

test('the level is said when it is above or below information', () => {
  expect(line({ level: 40, msg: 'careful' })).toBe('13:04:05 control  warn: careful\n')
})

test('a warning has its reason, a failure of ours its stack', () => {
  const err = { type: 'Error', message: 'no route', stack: 'Error: no route\n    at dial' }
  expect(line({ level: 40, msg: 'not reached', err })).toBe('13:04:05 control  warn: not reached (no route)\n')
  expect(line({ level: 50, msg: 'broken', err })).toBe(
    '13:04:05 control  error: broken\nError: no route\n    at dial\n',
  )
})

test('what comes from outside gives no order to a terminal', () => {
  const evil = '\u001b[2Jgone\u009b1m\r\nforged'
  const shown = line({ level: 50, msg: evil, host: evil, err: { stack: evil } })
  expect(shown.slice(0, -1).replaceAll('\n', '')).not.toMatch(/\p{Cc}/u)
})

test('what is no log line stays as it is', () => {
  expect(readableLine('plain words\n')).toBe('plain words\n')
})
