import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { takeLock } from '../process/lock.ts'
import { createLog } from '../process/log.ts'
import { prepareEdgeFolder } from './edge-folder.ts'
import { openEdgeStore } from './edge-store.ts'
import { askPredecessor, awaitSuccessor, type HandoverDuties, HandoverError } from './handover.ts'
import { withPredecessor } from './with-predecessor.ts'
import type { WorkerPool } from './worker-pool.ts'
import { createWriterRole } from './writer-role.ts'

const log = createLog('test', 'silent')
const key = { kind: 'site', key: 'a' } as const

let dataDir: string
let cleanUps: (() => void)[]
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'nameplate-handover-'))
  cleanUps = []
})
afterEach(() => {
  for (const cleanUp of cleanUps) cleanUp()
  rmSync(dataDir, { recursive: true, force: true })
})

/** A generation that writes down what it is asked to do. */
async function generation(name: string, asked: string[], duties: Partial<HandoverDuties> = {}): Promise<void> {
  const note = (what: string) => async (): Promise<void> => void asked.push(`${name} ${what}`)
  const all = {
    letGo: note('lets go'),
    takeBack: note('takes back'),
    retire: () => void asked.push(`${name} retires`),
    invalidate: note('drops'),
    ...duties,
  }
  cleanUps.push(await awaitSuccessor(dataDir, all, log))
}

test('workers of the first of three generations hear of a change that the third makes', async () => {
  const asked: string[] = []
  await generation('first', asked)
  const first = await askPredecessor(dataDir)
  await first.taken()
  const pool: Partial<WorkerPool> = { invalidate: async () => void asked.push('second drops') }
  const second = withPredecessor({ pool: pool as WorkerPool, alone: async () => undefined }, first)
  await generation('second', asked, { invalidate: second.pool.invalidate })
  const third = await askPredecessor(dataDir)
  await third.taken()
  expect(await third.invalidate([key])).toBe(true)
  const all = ['first drops', 'first lets go', 'first retires', 'second drops', 'second lets go', 'second retires']
  expect(asked.sort()).toEqual(all)
})

test('one that fails to let go writes again, and can be asked again', async () => {
  const edge = prepareEdgeFolder(dataDir, null)
  const parts = {
    dataDir,
    openStore: () => openEdgeStore(edge.path),
    startLink: () => ({ close: () => (fails ? Promise.reject(new Error('link')) : Promise.resolve()) }),
  }
  let fails = true
  const role = createWriterRole(parts, takeLock(dataDir, 'listener'), parts.openStore())
  role.begin()
  await generation('first', [], { letGo: () => role.letGo(), takeBack: () => role.takeBack() })
  await expect(askPredecessor(dataDir)).rejects.toThrow(HandoverError)
  await expect.poll(() => role.isHeld, { timeout: 40_000 }).toBe(true)
  fails = false
  const successor = await askPredecessor(dataDir)
  expect(role.isHeld).toBe(false)
  takeLock(dataDir, 'listener')()
  await successor.taken()
})
