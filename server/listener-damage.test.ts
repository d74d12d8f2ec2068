import { type ChildProcess, fork } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test } from 'vitest'
import type { ServingRecord } from './contract/records.ts'
import { openEdgeStore, storeFiles } from './listener/edge-store.ts'
import { startStoreCopies } from './listener/store-copies.ts'
import { createTestAuthority } from './test/certificates.ts'
import { makeListenerInstallation } from './test/listener-process.ts'
import { nameRecord, runtimes } from './test/listener-rig.ts'
import { killTree } from './test/process-tree.ts'
import { silentLog, until } from './test/publish-rig.ts'
import { visit } from './test/visit.ts'

/** More than SQLite keeps in the memory of a worker, which has read all names in their order at its start. */
const NAMES = 40_000
const file = fileURLToPath(new URL('listener.ts', import.meta.url))
const children: ChildProcess[] = []
afterEach(async () => {
  for (const child of children.splice(0)) await killTree(child.pid ?? 0).catch(() => undefined)
})

/** As its parent would: started again whenever it ends. `starts` counts. */
function keepListener(env: NodeJS.ProcessEnv) {
  let starts = 0
  let isReady = false
  const start = (): void => {
    starts += 1
    isReady = false
    const child = fork(file, { env, execArgv: [], stdio: 'ignore' })
    children.push(child)
    child.once('message', () => {
      isReady = true
    })
    child.once('exit', () => {
      if (children.includes(child)) start()
    })
  }
  start()
  return { starts: () => starts, isReady: () => isReady }
}

test.each(runtimes)(
  'records that are damaged while %s serves them: those in memory go on, then their copy',
  async (NAMEPLATE_LISTENER_RUNTIME) => {
    const authority = await createTestAuthority()
    const certificate = await authority.issue(['hot.example', '*.cold.example'])
    using installation = await makeListenerInstallation(certificate, {
      NAMEPLATE_LISTENER_RUNTIME,
      NAMEPLATE_WORKERS: '1',
    })
    const { edge, port, env } = installation
    const cold = (at: number): string => `n${String(at).padStart(5, '0')}.cold.example`
    {
      const store = openEdgeStore(edge.path)
      const records = Array.from({ length: NAMES }, (_, at) => ({
        ...nameRecord(cold(at), 'site', certificate),
        revision: 1,
      }))
      store.apply(records as ServingRecord[], 2)
      store.endSnapshot('00000000-0000-4000-8000-000000000001', 2)
      const options = { folder: edge.path, store, log: silentLog, firstMs: 1, onDamage: () => undefined }
      const copies = startStoreCopies(options)
      await until('there is a copy', () => existsSync(storeFiles(edge.path).copy))
      await copies.close()
      store.close()
    }
    const listener = keepListener(env)
    await until('it serves', () => listener.isReady())
    const statusOf = (serverName: string) =>
      visit({ port, serverName, ca: authority.caPem }).then(
        ({ status }) => status,
        () => null,
      )
    expect(await statusOf('hot.example')).toBe(308)

    const { file: records } = storeFiles(edge.path)
    const bytes = readFileSync(records)
    for (let at = 0; at < bytes.length; at += 4_096)
      if (bytes.subarray(at, at + 4_096).includes('.cold.example')) bytes.fill(0xa5, at, at + 4_096)
    writeFileSync(records, bytes)
    // Those that the worker had not read: refused until the copy is there, and the visit is what finds the damage.
    let at = 0
    await until('somebody is refused', async () => {
      at += 97
      return (await statusOf(cold(at))) === null
    })
    expect(at).toBeLessThan(NAMES / 2)
    const hot: unknown[] = []
    await until('it was mended', async () => {
      hot.push(await statusOf('hot.example'))
      return listener.starts() > 1 && listener.isReady()
    })
    expect(new Set(hot)).toEqual(new Set([308]))
    // The workers of before share the ports until they have seen their successors.
    for (const one of [0, 1, at, NAMES - 1])
      await until(`${cold(one)} is served`, async () => (await statusOf(cold(one))) === 308)
    expect(existsSync(`${records}.damaged`)).toBe(true)
    expect(listener.starts()).toBe(2)
  },
  120_000,
)
