import { test } from 'vitest'
import { runtimes } from '../test/listener-rig.ts'
import { expectFlatMemory } from '../test/short-connections-rig.ts'

const CONNECTIONS = 3_000

test.each(runtimes)('short connections leave nothing behind on %s', (runtime) => expectFlatMemory(runtime, CONNECTIONS))
