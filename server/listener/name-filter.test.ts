import { expect, test } from 'vitest'
import { createNameFilter } from './name-filter.ts'

/** A store of names in order, read a turn at a time. */
function storeOf(names: string[]) {
  const turns: (() => void)[] = []
  let reads = 0
  let isBroken = false
  const reader = {
    namesAfter(after: string, limit: number): string[] {
      reads += 1
      if (isBroken) throw new Error('the disk is gone')
      return [...names]
        .sort()
        .filter((name) => name > after)
        .slice(0, limit)
    },
  }
  return {
    reader,
    nextTurn: (work: () => void) => void turns.push(work),
    turn: () => turns.shift()?.(),
    turnAll() {
      while (turns.length > 0) turns.shift()?.()
    },
    reads: () => reads,
    breakDown: () => {
      isBroken = true
    },
  }
}

const many = (count: number, prefix = 'n') =>
  Array.from({ length: count }, (_, at) => `${prefix}${String(at).padStart(6, '0')}.example`)

test('until all names are read, every one may be there; afterwards those that are, and next to no other', () => {
  const names = many(5_000)
  const { reader, nextTurn, turn, turnAll } = storeOf(names)
  const filter = createNameFilter(reader, nextTurn)
  turn()
  expect(filter.mayHave('nobody.example')).toBe(true)
  turnAll()
  expect(names.every(filter.mayHave)).toBe(true)
  const strangers = many(10_000, 'x').filter(filter.mayHave)
  expect(strangers.length).toBeLessThan(5)
})

test('a name that comes is known, whether all names are read or not', () => {
  const { reader, nextTurn, turnAll } = storeOf(many(5_000))
  const filter = createNameFilter(reader, nextTurn)
  // It sorts before what was read already.
  filter.note('a.example')
  turnAll()
  expect(filter.mayHave('a.example')).toBe(true)
  expect(filter.mayHave('b.example')).toBe(false)
  filter.note('b.example')
  expect(filter.mayHave('b.example')).toBe(true)
})

test('after very many changes all names are read anew, and those that went are forgotten', () => {
  const names = ['stays.example']
  const { reader, nextTurn, turnAll, reads } = storeOf(names)
  const filter = createNameFilter(reader, nextTurn)
  turnAll()
  const gone = many(100_001, 'gone')
  for (const name of gone) filter.note(name)
  turnAll()
  expect(reads()).toBe(2)
  expect(filter.mayHave('stays.example')).toBe(true)
  expect(gone.filter(filter.mayHave).length).toBeLessThan(50)
})

test('a store that cannot be read leaves every name possible', () => {
  const { reader, nextTurn, turnAll, breakDown } = storeOf(many(5_000))
  const filter = createNameFilter(reader, nextTurn)
  breakDown()
  turnAll()
  expect(filter.mayHave('nobody.example')).toBe(true)
})
