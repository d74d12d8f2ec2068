import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { type FaultPoint, faultPoints } from '../../process/fault-point.ts'
import { liveThroughDeathAt } from '../fault-step.ts'
import { faultRows } from '../fault-table.ts'

/** docs/faults.md, "Killed at a named step", of a release, of publishing and of an edge's apply. */
const steps: [id: string, point: FaultPoint][] = [
  ['release-stored', 'release.stored'],
  ['release-activated', 'release.activated'],
  ['publish-compiled', 'publish.compiled'],
  ['publish-sent', 'publish.sent'],
  ['apply-written', 'apply.written'],
  ['apply-acked', 'apply.acked'],
]

test.each(steps)('%s', async (id, point) => {
  const { orders, releases } = await liveThroughDeathAt(point, id)
  expect(releases).toEqual([1])
  expect(orders).toBe(1)
})

test('each row of docs/faults.md is a test, and each fault point is a row', () => {
  const suites = ['start', 'input', 'kill', 'order-steps', 'publish-steps', 'operation-steps', 'upgrade', 'backup']
  const sources = suites
    .map((name) => readFileSync(new URL(`faults-${name}.e2e.test.ts`, import.meta.url), 'utf8'))
    .join('\n')
  const ids = faultRows().map((row) => row.id)
  expect(ids.length).toBeGreaterThan(40)
  expect(new Set(ids).size).toBe(ids.length)
  expect(ids.filter((id) => !sources.includes(`'${id}'`) && !sources.includes(`'${id} `))).toEqual([])
  expect(faultPoints.map((point) => point.replace('.', '-')).filter((id) => !ids.includes(id))).toEqual([])
})
