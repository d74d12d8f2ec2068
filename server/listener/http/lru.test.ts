import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createLru, type Lru } from './lru.ts'

const BOUND = 20

type Entry = { readonly key: string; readonly weight: number }

/** The same by the plainest means: a list, the oldest first. */
function listLru(): Lru<number> & { readonly entries: () => readonly Entry[] } {
  let list: Entry[] = []
  const without = (key: string): Entry[] => list.filter((entry) => entry.key !== key)
  return {
    get(key) {
      const held = list.find((entry) => entry.key === key)
      if (held !== undefined) list = [...without(key), held]
      return held?.weight
    },
    set(key, _value, weight) {
      list = [...without(key), { key, weight }]
      while (list.reduce((sum, entry) => sum + entry.weight, 0) > BOUND) list.shift()
    },
    delete(key) {
      list = without(key)
    },
    entries: () => list,
  }
}

test('it holds what was asked for last, as far as the weights go', () => {
  const step = fc.tuple(fc.constantFrom('get', 'set', 'delete'), fc.nat(30), fc.integer({ min: 1, max: 5 }))
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const [lru, model] = [createLru<number>(BOUND), listLru()]
      const run = (one: Lru<number>, [action, number, weight]: (typeof steps)[number]): unknown =>
        action === 'set' ? one.set(`${number}`, weight, weight) : one[action as 'get' | 'delete'](`${number}`)
      for (const one of steps) expect(run(lru, one)).toBe(run(model, one))
      for (const { key, weight } of [...model.entries()]) expect(lru.get(key)).toBe(weight)
    }),
    { numRuns: 1_000 },
  )
})

test('what is asked for again and again takes no memory', () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const used = (): number => {
    collect()
    return process.memoryUsage().heapUsed
  }
  const lru = createLru<number>(1_000)
  for (let at = 0; at < 1_000; at += 1) lru.set(`${at}`, at, 1)
  const before = used()
  for (let turn = 0; turn < 2_000_000; turn += 1) lru.get(`${turn % 1_000}`)
  // 57 bytes for each question is what an iterator that stands still costs.
  expect(used() - before).toBeLessThan(20_000_000)
  lru.set('last', 1, 1)
  expect([lru.get('0'), lru.get('1')]).toEqual([undefined, 1])
})
