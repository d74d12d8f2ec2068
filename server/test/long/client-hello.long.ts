import { randomInt } from 'node:crypto'
import { expect, test } from 'vitest'
import { parseClientHello } from '../../listener/client-hello.ts'
import { captureHello } from '../captured-hello.ts'

const MUTATIONS = 1_000_000
const MOST_CHANGES = 8

/** A million mutated hellos, whole and cut short: each is judged, none throws. */
test('a million mutated ClientHellos', async () => {
  const hello = await captureHello({ servername: 'shop.example.com', ALPNProtocols: ['h2', 'http/1.1'] })
  const kinds = new Map<string, number>()
  for (let run = 0; run < MUTATIONS; run += 1) {
    const bytes = Buffer.from(hello.subarray(0, run % 4 === 0 ? randomInt(1, hello.length + 1) : hello.length))
    for (let change = randomInt(1, MOST_CHANGES + 1); change > 0; change -= 1)
      bytes[randomInt(bytes.length)] = randomInt(256)
    const { kind } = parseClientHello(bytes)
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
  }
  const total = [...kinds.values()].reduce((sum, count) => sum + count, 0)
  expect(total).toBe(MUTATIONS)
  expect(kinds.size).toBeGreaterThan(1)
})
