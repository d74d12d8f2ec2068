import { expect, test } from 'vitest'
import { formatBytes, formatCount, formatRelative } from './format.ts'

test.each([
  [0, '0 B'],
  [21, '21 B'],
  [999, '999 B'],
  [1_000, '1 kB'],
  [1_540, '1.5 kB'],
  [123_456, '123 kB'],
  [256_000_000, '256 MB'],
  [5_000_000_000_000, '5,000 GB'],
])('%i bytes are %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text)
})

test('counts in words', () => {
  expect(formatCount(1, 'file')).toBe('1 file')
  expect(formatCount(0, 'file')).toBe('0 files')
})

test('says how far a time is in the unit that fits', () => {
  const now = Date.parse('2026-11-23T12:00:00Z')
  expect(formatRelative('2026-11-30T12:00:00Z', now)).toBe('in 7 days')
  expect(formatRelative('2026-11-23T11:59:58Z', now)).toBe('2 seconds ago')
  expect(formatRelative('2026-11-23T12:00:00Z', now)).toBe('now')
})
