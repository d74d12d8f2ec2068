import { expect, test } from 'vitest'
import { orderOnTwoPlanes } from '../two-planes.ts'

const NAMES = Number(process.env['LONG_PLANES_NAMES'] ?? 500)
const MINUTES = Number(process.env['LONG_PLANES_MINUTES'] ?? 5)

test(`two control planes, killed for ${MINUTES} minutes while ${NAMES} names are ordered: no order twice, none missing`, async () => {
  const result = await orderOnTwoPlanes({ names: NAMES, minutes: MINUTES })
  console.log(JSON.stringify(result))
  expect(result).toMatchObject({ names: NAMES, orders: NAMES, issued: NAMES })
  expect(result.kills).toBeGreaterThan(MINUTES * 5)
})
