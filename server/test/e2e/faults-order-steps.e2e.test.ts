import { expect, test } from 'vitest'
import type { FaultPoint } from '../../process/fault-point.ts'
import { liveThroughDeathAt } from '../fault-step.ts'

/** docs/faults.md, "Killed at a named step", of an order: resumed, and never bought twice (by the CA's own count). */
const steps: [id: string, point: FaultPoint, mostOrders: number][] = [
  ['order-created', 'order.created', 2],
  ['order-answered', 'order.answered', 1],
  ['order-placed', 'order.placed', 1],
  ['order-challenge-published', 'order.challenge-published', 1],
  ['order-challenge-submitted', 'order.challenge-submitted', 1],
  ['order-finalized', 'order.finalized', 1],
  ['order-downloaded', 'order.downloaded', 1],
]

test.each(steps)('%s', async (id, point, mostOrders) => {
  const { orders } = await liveThroughDeathAt(point, id)
  expect(orders).toBeGreaterThanOrEqual(1)
  expect(orders).toBeLessThanOrEqual(mostOrders)
})
