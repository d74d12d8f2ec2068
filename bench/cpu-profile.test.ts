import { expect, test } from 'vitest'
import { type CpuProfile, selfTimes } from './cpu-profile.ts'

const frame = (functionName: string, url = '', lineNumber = 0) => ({ functionName, url, lineNumber })
const profile: CpuProfile = {
  nodes: [
    { id: 1, callFrame: frame('(root)') },
    { id: 2, callFrame: frame('(idle)') },
    { id: 3, callFrame: frame('parse', 'file:///somewhere/server/listener/client-hello.ts', 41) },
    // The same function, called from elsewhere.
    { id: 4, callFrame: frame('parse', 'file:///somewhere/server/listener/client-hello.ts', 41) },
    { id: 5, callFrame: frame('', 'node:net', 9) },
  ],
  samples: [2, 3, 4, 5, 9],
  timeDeltas: [5_000, 200, 400, 300, 100],
}

test('a function has the time of all its samples, as a share of what was not idle', () => {
  expect(selfTimes(profile)).toEqual([
    { where: 'parse server/listener/client-hello.ts:42', share: 0.6 },
    { where: '(anonymous) node:net:10', share: 0.3 },
    { where: '(unknown)', share: 0.1 },
  ])
})

test('a clock that went back takes no time away', () => {
  expect(selfTimes({ ...profile, samples: [3, 5], timeDeltas: [-50, 10] })).toEqual([
    { where: '(anonymous) node:net:10', share: 1 },
    { where: 'parse server/listener/client-hello.ts:42', share: 0 },
  ])
})
