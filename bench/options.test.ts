import { expect, test } from 'vitest'
import { helpText, readOptions } from './options.ts'

const rows = ['full-1.3', 'junk']

test('without options everything is measured in 8 rounds of a second, on both runtimes', () => {
  expect(readOptions([], rows)).toEqual({
    json: null,
    plot: null,
    only: null,
    rounds: 8,
    seconds: 1,
    warm: 10,
    runtimes: ['bun', 'node'],
    scale: 'default',
    sites: 100_000,
    profile: null,
    isHelp: false,
  })
})

test('all options', () => {
  const args =
    '--json a.json --plot a.svg --only junk,full-1.3 --rounds 3 --seconds 0.5 --warm 3 --runtime node --scale full --sites 2000'
  expect(readOptions([...args.split(' '), '--profile', 'junk'], rows)).toEqual({
    json: 'a.json',
    plot: 'a.svg',
    only: ['junk', 'full-1.3'],
    rounds: 3,
    seconds: 0.5,
    warm: 3,
    runtimes: ['node'],
    scale: 'full',
    sites: 2_000,
    profile: 'junk',
    isHelp: false,
  })
})

test.each([
  ['a row that is not there', ['--only', 'junk,none'], '--only: none is none of full-1.3, junk'],
  ['no row', ['--only', ','], '--only: nothing is none of full-1.3, junk'],
  ['no whole number', ['--rounds', '2.5'], '--rounds: a number from 1 to 1000, not "2.5"'],
  ['too short', ['--seconds', '0'], '--seconds: a number from 0.2 to 600, not "0"'],
  ['too few sites', ['--sites', '10'], '--sites: a number from 100 to 1000000, not "10"'],
  ['no runtime of ours', ['--runtime', 'deno'], '--runtime: deno is none of bun, node'],
  ['a row to profile that is not there', ['--profile', 'x'], '--profile: x is none of full-1.3, junk'],
])('%s is an error in one line', (_, args, message) => {
  expect(() => readOptions(args, rows)).toThrow(message)
})

test('an unknown option is an error', () => {
  expect(() => readOptions(['--fast'], rows)).toThrow(/--fast/)
})

test('the help names every row', () => {
  expect(helpText([{ name: 'junk', title: 'refused' }])).toMatch(/^ {2}junk +refused$/m)
})
