import { randomInt } from 'node:crypto'
import { expect, test } from 'vitest'
import { parseClientHello } from '../../listener/client-hello.ts'
import { captureHello } from '../captured-hello.ts'
import { mutate, seededRandom } from '../mutations.ts'

const MUTATIONS = 1_000_000

/** A million mutated hellos, whole and cut short: each is judged, none throws. `FUZZ_SEED` repeats a run. */
test('a million mutated ClientHellos', async () => {
  const seed = Number(process.env.FUZZ_SEED ?? randomInt(2 ** 31))
  const random = seededRandom(seed)
  const hello = await captureHello({ servername: 'shop.example.com', ALPNProtocols: ['h2', 'http/1.1'] })
  const kinds = new Map<string, number>()
  for (let run = 0; run < MUTATIONS; run += 1) {
    const { kind } = parseClientHello(mutate(hello, random))
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
  }
  const total = [...kinds.values()].reduce((sum, count) => sum + count, 0)
  expect(total, `seed ${seed}`).toBe(MUTATIONS)
  expect(kinds.size, `seed ${seed}`).toBeGreaterThan(1)
})
