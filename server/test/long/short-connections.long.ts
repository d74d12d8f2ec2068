import { test } from 'vitest'
import { runtimes } from '../listener-rig.ts'
import { expectFlatMemory } from '../short-connections-rig.ts'

const CONNECTIONS = Number(process.env['LONG_CONNECTIONS'] ?? 1_000_000)

test.each(runtimes)(`${CONNECTIONS} short connections leave nothing behind on %s`, (runtime) =>
  expectFlatMemory(runtime, CONNECTIONS),
)
