import { expect, test } from 'vitest'
import { afterFailure, type Circuit, openUntil, readCircuit } from './circuit.ts'

const START = new Date('2026-11-23T00:00:00Z')
const problem = { code: 'ISSUER_UNREACHABLE', detail: 'no answer' }

test('it opens at the third failure, for 30 s and then twice as long each time, at most half an hour', () => {
  let circuit: Circuit | null = null
  const pauses: (number | null)[] = []
  let now = START
  for (let index = 0; index < 12; index += 1) {
    circuit = afterFailure(circuit, problem, now, () => 0)
    const until = openUntil(circuit, now)
    pauses.push(until === null ? null : (until.getTime() - now.getTime()) / 1_000)
    // Fifty orders that were under way fail as well.
    for (let other = 0; other < 50 && until !== null; other += 1)
      expect(afterFailure(circuit, problem, now, () => 0)).toBe(circuit)
    now = until ?? now
  }
  expect(pauses).toEqual([null, null, 30, 60, 120, 240, 480, 960, 1_800, 1_800, 1_800, 1_800])
  expect(circuit).toMatchObject({ failures: 12, since: START.toISOString(), ...problem })
  expect(openUntil(circuit, now)).toBeNull()
})

test('what is kept is read back, and anything else is no circuit', () => {
  const circuit = afterFailure(null, problem, START, Math.random)
  expect(readCircuit(JSON.parse(JSON.stringify(circuit)))).toEqual(circuit)
  for (const value of [null, 'x', {}, { failures: 'many' }]) expect(readCircuit(value)).toBeNull()
})
