import { describe, expect, test } from 'vitest'
import { growthByBuilds } from '../test/context-builds.ts'
import { runtimes } from '../test/listener-rig.ts'

/** Builds, and the growth in MB that is still none: without a release it would be 70 MB and more on both. */
const sizes = { bun: { builds: 10_000, most: 55 }, node: { builds: 3_000, most: 40 } } as const

describe.each(runtimes)('contexts on %s', (runtime) => {
  test('that were evicted are released: thousands of builds leave the memory as it was', async () => {
    expect(await growthByBuilds(runtime, sizes[runtime].builds)).toBeLessThan(sizes[runtime].most)
  })
})
