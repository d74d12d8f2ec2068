import { afterAll, beforeAll, expect, test } from 'vitest'
import { expectSeen } from '../fault-table.ts'
import { descendants, killTree, processes } from '../process-tree.ts'
import { eventually, startCommand } from '../stack.ts'
import { visit } from '../visit.ts'
import { addHostname, addSite, makeSite, startWorld, untilLive, type World } from '../world.ts'

/** docs/faults.md, "Processes that are killed": kill -9 while a visitor comes again and again. */
let world: World
let tenantId: string
beforeAll(async () => {
  world = await startWorld()
  const site = await makeSite(world.api, 'Kept', { 'index.html': 'kept' })
  tenantId = site.tenantId
  await untilLive(world.api, (await addHostname(world, site, 'kept.test')).id)
})
afterAll(async () => {
  await world?.[Symbol.asyncDispose]()
})

const parent = (): number => world.stack.parents[0]?.pid ?? 0
const pidsOf = (fragment: string): number[] =>
  descendants(parent())
    .filter((entry) => entry.command.includes(fragment))
    .map((entry) => entry.pid)

/** New clients, one after the other, until stopped. */
function keepVisiting(): { stop(): Promise<string[]> } {
  const failures: string[] = []
  let isStopped = false
  const visiting = (async () => {
    while (!isStopped) {
      const at = { port: world.stack.httpsPort, serverName: 'kept.test', ca: world.root }
      await visit(at).then(
        (seen) => seen.body === 'kept' || failures.push(seen.body),
        (error: Error) => failures.push(error.message),
      )
    }
  })()
  return {
    async stop() {
      isStopped = true
      await visiting
      return failures
    },
  }
}

async function killOne(fragment: string): Promise<void> {
  const [pid] = pidsOf(fragment)
  expect(pid, fragment).toBeDefined()
  process.kill(pid ?? 0, 'SIGKILL')
  await eventually(async () => !processes().some((entry) => entry.pid === pid), `${fragment} is dead`)
}

/** A change goes all the way: the API takes it, the edge serves it. */
async function changesArrive(name: string): Promise<void> {
  const site = await eventually(
    () => addSite(world.api, tenantId, name, { 'index.html': name }),
    'the API takes a change',
  )
  const hostname = await addHostname(world, site, `${name}.test`)
  await untilLive(world.api, hostname.id)
  expect((await visit({ port: world.stack.httpsPort, serverName: `${name}.test`, ca: world.root })).body).toBe(name)
}

const seen = (id: string, from: number): Promise<boolean> =>
  eventually(async () => {
    expectSeen(id, world.stack.output().slice(from))
    return true
  }, `what ${id} says`)

test('kill-control', async () => {
  const from = world.stack.output().length
  const visitor = keepVisiting()
  await killOne('server/control.ts')
  await seen('kill-control', from)
  await changesArrive('control')
  expect(await visitor.stop()).toEqual([])
})

test('kill-postgres', async () => {
  const from = world.stack.output().length
  const visitor = keepVisiting()
  await killOne('/postgres -D')
  await seen('kill-postgres', from)
  await changesArrive('postgres')
  expect(await visitor.stop()).toEqual([])
})

test('kill-supervisor', async () => {
  const from = world.stack.output().length
  const before = pidsOf('listener/worker.ts')
  const visitor = keepVisiting()
  await killOne('server/listener.ts')
  await seen('kill-supervisor', from)
  await changesArrive('supervisor')
  const isGone = async (): Promise<boolean> => !processes().some((entry) => before.includes(entry.pid))
  await eventually(isGone, 'the workers of the killed supervisor have ended')
  // A worker that ends resets what waits in its accept queue where the kernel may not hand it on.
  expect((await visitor.stop()).filter((failure) => !/ECONNRESET|socket hang up|disconnected/.test(failure))).toEqual(
    [],
  )
})

test('kill-worker', async () => {
  const from = world.stack.output().length
  const visitor = keepVisiting()
  await killOne('listener/worker.ts')
  await seen('kill-worker', from)
  await eventually(async () => pidsOf('listener/worker.ts').length === 2, 'there are two workers again')
  await changesArrive('worker')
  expect((await visitor.stop()).filter((failure) => !/ECONNRESET|socket hang up|disconnected/.test(failure))).toEqual(
    [],
  )
})

test('kill-parent', async () => {
  const below = descendants(parent()).filter((entry) => !entry.command.includes('postgres'))
  process.kill(parent(), 'SIGKILL')
  const areGone = async (): Promise<boolean> =>
    !processes().some((entry) => below.some((each) => each.pid === entry.pid))
  await eventually(areGone, 'everything ends with the parent')
  const again = await startCommand('start', world.stack.env)
  try {
    expectSeen('kill-parent', again.output())
    expect((await visit({ port: world.stack.httpsPort, serverName: 'kept.test', ca: world.root })).body).toBe('kept')
  } finally {
    await killTree(again.pid)
  }
})
