import { describe, expect, test } from 'vitest'
import { kibibytesOf } from '../usage.ts'
import { h2loadReport } from './h2load.ts'
import { wrkReport } from './wrk.ts'

describe('what h2load says', () => {
  const text = `TLS Protocol: TLSv1.3
Application protocol: h2
requests: 5000 total, 5100 started, 5000 done, 4990 succeeded, 7 failed, 2 errored, 1 timeout
status codes: 4980 2xx, 0 3xx, 10 4xx, 0 5xx
`
  test('only answers with 2xx count, and all that went wrong', () => {
    expect(h2loadReport(text)).toEqual({ operations: 4_980, failed: 10, note: null })
  })
  test('another protocol is no measurement of HTTP/2', () => {
    expect(() => h2loadReport(text.replace('protocol: h2', 'protocol: http/1.1'))).toThrow('http/1.1')
  })
  test('no report is an error', () => {
    expect(() => h2loadReport('connection refused')).toThrow('connection refused')
  })
})

describe('what wrk says', () => {
  test('the line of our script is read', () => {
    expect(wrkReport('Running 1s test\nbench 12345 6\n')).toEqual({ operations: 12_345, failed: 6, note: null })
  })
  test('no report is an error', () => {
    expect(() => wrkReport('unable to connect')).toThrow('unable to connect')
  })
})

test('a field of a smaps text', () => {
  const text = 'Rss:  2000 kB\nPss:  1500 kB\nSwapPss:  7 kB\n'
  expect([kibibytesOf(text, 'Rss'), kibibytesOf(text, 'Pss'), kibibytesOf(text, 'Missing')]).toEqual([2_000, 1_500, 0])
})
