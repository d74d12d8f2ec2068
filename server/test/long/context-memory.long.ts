import { describe, expect, test } from 'vitest'
import { growthByBuilds } from '../context-builds.ts'
import { runtimes } from '../listener-rig.ts'

const BUILDS = 100_000
const TIMEOUT_MS = 600_000

describe.each(runtimes)('contexts on %s', (runtime) => {
  test('a hundred thousand builds over a small cache leave the memory as it was', async () => {
    expect(await growthByBuilds(runtime, BUILDS, TIMEOUT_MS)).toBeLessThan(80)
  })
})
