import { expect, test } from 'vitest'
import { trafficProblem } from '../../contract/link.ts'
import { type TrafficRow, trafficFields } from '../../contract/traffic.ts'
import { createIntake } from './intake.ts'

const ones = (length: number): number[] => new Array<number>(length).fill(1)
const taken = (row: unknown): readonly TrafficRow[] => {
  const rows: TrafficRow[] = []
  const read = createIntake({ line: () => undefined, traffic: (more) => rows.push(...more), dropped: () => undefined })
  read(Buffer.from(`T ${JSON.stringify([row])}\n`))
  return rows
}
const sent = (row: unknown) =>
  trafficProblem({ type: 'traffic', spoolId: '018f0000-0000-7000-8000-000000000000', sequence: 1, rows: [row] })

test.each([1, trafficFields.length - 1, trafficFields.length + 1, 64])(
  'a row with %i counts, of another version, is taken from a worker and by the control plane',
  (length) => {
    const row = { siteId: 'a', hour: 1, counts: ones(length) }
    expect(taken(row)).toEqual([row])
    expect(sent(row)).toBeNull()
  },
)

test.each([[[]], [ones(65)], [[-1]], [[1.5]], [['1']], ['1']])('counts that are none are refused: %j', (counts) => {
  const row = { siteId: 'a', hour: 1, counts }
  expect(() => taken(row)).toThrow('counters that are none')
  expect(sent(row)).toBe('counters that are none')
})
