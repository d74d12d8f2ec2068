import { expect, test } from 'vitest'
import { startTestDns } from '../../test/dns.ts'
import { createLookups } from './resolver.ts'

test('TXT strings are joined, several values stand side by side, CNAMEs are followed', async () => {
  await using dns = await startTestDns()
  const { lookupTxt } = createLookups([dns.address])
  dns.set('TXT', '_challenge.example.test', ['one', 'x'.repeat(300)])
  dns.set('CNAME', 'alias.example.test', ['_challenge.example.test'])
  const values = ['one', 'x'.repeat(300)]
  expect(await lookupTxt('_challenge.example.test')).toEqual({ kind: 'found', values })
  expect(await lookupTxt('alias.example.test')).toEqual({ kind: 'found', values })
})

test('what is not there is told from what cannot be known', async () => {
  await using dns = await startTestDns()
  const { lookupTxt, lookupA, lookupAaaa } = createLookups([dns.address])
  dns.set('A', 'www.example.test', ['127.0.0.1'])
  dns.set('AAAA', 'www.example.test', ['fd00:1::7'])
  dns.fail('broken.example.test', 'servfail')
  dns.fail('silent.example.test', 'silence')
  const [none, noText, broken, silent] = await Promise.all([
    lookupTxt('none.example.test'),
    lookupTxt('www.example.test'),
    lookupTxt('broken.example.test'),
    lookupTxt('silent.example.test'),
  ])
  expect([none.kind, noText.kind, broken.kind, silent.kind]).toEqual(['absent', 'absent', 'unanswered', 'unanswered'])
  expect(await lookupA('www.example.test')).toEqual({ kind: 'found', values: ['127.0.0.1'] })
  expect(await lookupAaaa('www.example.test')).toEqual({ kind: 'found', values: ['fd00:1::7'] })
})

test('an answer is never remembered: a record that was just made is seen at the next look', async () => {
  await using dns = await startTestDns()
  const { lookupTxt } = createLookups([dns.address])
  expect((await lookupTxt('new.example.test')).kind).toBe('absent')
  dns.set('TXT', 'new.example.test', ['first'])
  expect(await lookupTxt('new.example.test')).toEqual({ kind: 'found', values: ['first'] })
  dns.set('TXT', 'new.example.test', ['second'])
  expect(await lookupTxt('new.example.test')).toEqual({ kind: 'found', values: ['second'] })
})

test('a silent name does not hold up its neighbours', async () => {
  await using dns = await startTestDns()
  const { lookupTxt } = createLookups([dns.address])
  dns.fail('silent.example.test', 'silence')
  dns.set('TXT', 'quick.example.test', ['here'])
  const order: string[] = []
  const silent = Promise.all(
    Array.from({ length: 50 }, () => lookupTxt('silent.example.test').then(() => order.push('silent'))),
  )
  await lookupTxt('quick.example.test').then(() => order.push('quick'))
  await silent
  expect(order[0]).toBe('quick')
})

test('a very large answer comes over TCP and is bounded', async () => {
  await using dns = await startTestDns()
  const { lookupTxt } = createLookups([dns.address])
  dns.set(
    'TXT',
    'large.example.test',
    Array.from({ length: 150 }, (_, index) => `${index}-${'y'.repeat(200)}`),
  )
  const answer = await lookupTxt('large.example.test')
  expect(answer.kind === 'found' && answer.values.length).toBe(100)
})
