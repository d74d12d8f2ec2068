import type { LookupAddress, lookup } from 'node:dns'
import { networkInterfaces } from 'node:os'
import { expect, test } from 'vitest'
import { createOwnAddresses } from '../own-addresses.ts'
import { createUpstreamNames } from './upstream-names.ts'

type Answer = (error: Error | null, addresses: LookupAddress[]) => void

/** A resolver that answers when the test says so, and a clock of the test. */
function rig() {
  const asked: { name: string; answer: Answer }[] = []
  let now = 0
  const ask = ((name: string, _: unknown, answer: Answer) => void asked.push({ name, answer })) as typeof lookup
  const names = createUpstreamNames(ask, () => now)
  const seen: string[] = []
  const resolve = (name: string, owner = 'a'): (() => void) =>
    names.resolve(name, owner, (error, addresses) => {
      seen.push(`${name} ${error?.message ?? addresses.map(({ address }) => address).join()}`)
    })
  const pass = (ms: number): void => {
    now += ms
  }
  const one = (address: string): LookupAddress[] => [{ address, family: 4 }]
  return { asked, seen, resolve, pass, one }
}

test('a name is asked for once at a time, and its answer is used for seconds', () => {
  const { asked, seen, resolve, pass, one } = rig()
  resolve('x')
  resolve('x')
  asked[0]?.answer(null, one('192.0.2.1'))
  resolve('x')
  expect([asked.length, seen]).toEqual([1, ['x 192.0.2.1', 'x 192.0.2.1', 'x 192.0.2.1']])
  pass(10_000)
  resolve('x')
  asked[1]?.answer(null, one('192.0.2.2'))
  expect(seen.at(-1)).toBe('x 192.0.2.2')
})

test('while the resolver fails the last answer is used, for an hour', () => {
  const { asked, seen, resolve, pass, one } = rig()
  resolve('x')
  asked[0]?.answer(null, one('192.0.2.1'))
  pass(20_000)
  resolve('x')
  asked[1]?.answer(new Error('timeout'), [])
  expect(seen.at(-1)).toBe('x 192.0.2.1')
  pass(3_600_000)
  resolve('x')
  asked[2]?.answer(new Error('timeout'), [])
  expect(seen.at(-1)).toBe('x timeout')
})

test('a tenant whose resolver hangs holds up itself alone', () => {
  const { asked, seen, resolve, one } = rig()
  for (const name of ['h1', 'h2', 'h3', 'shared']) resolve(name, 'hangs')
  resolve('shared', 'other')
  resolve('y', 'third')
  resolve('z', 'fourth')
  expect(asked.map(({ name }) => name)).toEqual(['h1', 'shared', 'y'])
  asked[1]?.answer(null, one('192.0.2.1'))
  expect(seen).toEqual(['shared 192.0.2.1'])
  expect(asked.map(({ name }) => name)).toEqual(['h1', 'shared', 'y', 'z'])
})

test('a tenant with many names that hang leaves room in the queue', () => {
  const { asked, seen, resolve, one } = rig()
  for (let at = 0; at < 2_000; at += 1) resolve(`h${at}`, 'hangs')
  expect(seen.length).toBe(2_000 - 17)
  for (const owner of ['second', 'third', 'fourth']) resolve('x', owner)
  asked[1]?.answer(null, one('192.0.2.1'))
  asked[3]?.answer(null, one('192.0.2.1'))
  expect(asked.map(({ name }) => name)).toEqual(['h0', 'x', 'x', 'x'])
  expect(seen.slice(-2)).toEqual(['x 192.0.2.1', 'x 192.0.2.1'])
})

test('where the question has to wait, an old answer is used and the name asked for in turn', () => {
  const { asked, seen, resolve, pass, one } = rig()
  resolve('x')
  asked[0]?.answer(null, one('192.0.2.1'))
  pass(20_000)
  resolve('hangs')
  for (let turn = 0; turn < 3; turn += 1) resolve('x')
  expect(seen).toEqual(Array.from({ length: 4 }, () => 'x 192.0.2.1'))
  // So is it when the queue is full.
  for (let at = 0; at < 20; at += 1) resolve(`h${at}`)
  resolve('x')
  expect(seen.at(-1)).toBe('x 192.0.2.1')
  asked[1]?.answer(new Error('timeout'), [])
  expect(asked.at(-1)?.name).toBe('x')
  resolve('x')
  asked[2]?.answer(null, one('192.0.2.2'))
  resolve('x')
  expect(seen.at(-1)).toBe('x 192.0.2.2')
})

test('questions whose askers have gone leave the queue', () => {
  const { asked, seen, resolve, one } = rig()
  resolve('first')
  const leaves = Array.from({ length: 16 }, (_, at) => resolve(`h${at}`))
  const leavesToo = resolve('h0')
  for (const leave of leaves) leave()
  for (const leave of leaves) leave()
  resolve('last')
  asked[0]?.answer(null, one('192.0.2.1'))
  expect(asked[1]?.name).toBe('h0')
  leavesToo()
  asked[1]?.answer(null, one('192.0.2.1'))
  asked[2]?.answer(null, one('192.0.2.1'))
  expect(asked.map(({ name }) => name)).toEqual(['first', 'h0', 'last'])
  expect(seen).toEqual(['first 192.0.2.1', 'last 192.0.2.1'])
})

test('ports of this listener are known by every address of the machine', () => {
  const isOwn = createOwnAddresses([
    { address: '0.0.0.0', port: 443, ipv6Only: false },
    { address: '192.0.2.7', port: 80, ipv6Only: false },
  ])
  const others = Object.values(networkInterfaces()).flatMap((all) => all?.map(({ address }) => address) ?? [])
  for (const address of ['127.0.0.1', '127.9.9.9', '::ffff:127.0.0.1', '::1', '0.0.0.0', ...others])
    expect([address, isOwn(address, 443), isOwn(address, 80)]).toEqual([address, true, false])
  expect([isOwn('192.0.2.7', 80), isOwn('192.0.2.8', 80), isOwn('192.0.2.7', 443)]).toEqual([true, false, false])
})
