import { describe, expect, test } from 'vitest'
import { covers, hostOf, normalizeName, unicodeName, wildcardOf } from './names.ts'

describe('normalizeName', () => {
  test.each([
    ['Example.COM.', 'example.com'],
    ['bücher.example', 'xn--bcher-kva.example'],
    ['XN--BCHER-KVA.example', 'xn--bcher-kva.example'],
  ])('%s becomes %s', (text, name) => expect(normalizeName(text)).toEqual({ ok: true, name }))

  test.each([
    ['', 'empty'],
    ['localhost', 'single-label'],
    ['192.0.2.1', 'address'],
    ['[2001:db8::1]', 'address'],
    ['*.example.com', 'wildcard'],
    ['a..b.example', 'label'],
    ['-a.example', 'label'],
    ['a_b.example', 'label'],
    ['a b.example', 'label'],
    ['example.com/path', 'label'],
    ['example.com?query', 'label'],
    ['example.com#part', 'label'],
    ['example.com\\x', 'label'],
    ['%61.example', 'label'],
    ['exam\tple.com', 'label'],
    ['example.com／path', 'label'],
    ['a％2eb.example', 'label'],
    [`${'a'.repeat(64)}.example`, 'too-long'],
    [`${'a.'.repeat(127)}example`, 'too-long'],
  ])('%s is refused as %s', (text, problem) => expect(normalizeName(text)).toEqual({ ok: false, problem }))

  test('a wildcard is taken where it is allowed, leftmost only', () => {
    expect(normalizeName('*.Bücher.example', { wildcard: true })).toEqual({ ok: true, name: '*.xn--bcher-kva.example' })
    expect(normalizeName('a.*.example', { wildcard: true })).toEqual({ ok: false, problem: 'wildcard' })
  })
})

test('a wildcard covers exactly one label', () => {
  expect(wildcardOf('a.example.com')).toBe('*.example.com')
  expect(covers('*.example.com', 'a.example.com')).toBe(true)
  expect(covers('*.example.com', 'a.b.example.com')).toBe(false)
  expect(covers('*.example.com', 'example.com')).toBe(false)
})

test.each([
  ['Example.com:8443', 'example.com'],
  ['example.com.', 'example.com'],
  ['127.0.0.2:443', '127.0.0.2'],
  ['[::1]:443', '::1'],
  ['a b.example', null],
  ['example.com:x', null],
])('host header %s means %s', (header, host) => expect(hostOf(header)).toBe(host))

test('the Unicode form is for people', () => expect(unicodeName('*.xn--bcher-kva.example')).toBe('*.bücher.example'))
