import { join } from 'node:path'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { startPostgres } from '../../process/postgres.ts'
import { killTree } from '../process-tree.ts'
import { startCommand } from '../stack.ts'
import { visit } from '../visit.ts'
import { addHostname, addSite, makeSite, startWorld, untilLive, type World } from '../world.ts'

/** What a visitor sees while parts of the installation are dead. Every visit is a new client. */
const names = ['one.test', 'two.test', 'three.test'] as const

async function served(world: World): Promise<string[]> {
  const at = { port: world.stack.httpsPort, ca: world.root }
  const seen = await Promise.all(names.map((serverName) => visit({ ...at, serverName })))
  return seen.map((each) => each.body)
}

async function makeNames(world: World): Promise<{ tenantId: string; siteId: string }> {
  const first = await makeSite(world.api, 'one', { 'index.html': 'one.test' })
  await untilLive(world.api, (await addHostname(world, first, 'one.test')).id)
  for (const name of ['two.test', 'three.test'] as const) {
    const site = await addSite(world.api, first.tenantId, name, { 'index.html': name })
    await untilLive(world.api, (await addHostname(world, site, name)).id)
  }
  return first
}

/** A change that somebody makes in the database while no control plane runs. */
async function changeInDatabase(world: World, tenantId: string): Promise<void> {
  const server = await startPostgres({ folder: join(world.stack.dataDir, 'postgres') })
  const client = new pg.Client({ connectionString: server.url })
  await client.connect()
  await client.query("delete from hostname where name = 'three.test'")
  await client.query(
    "update hostname set site_id = (select site_id from hostname where name = 'two.test') where name = 'one.test'",
  )
  const { rowCount } = await client.query('select from site where tenant_id = $1', [tenantId])
  expect(rowCount).toBe(3)
  await client.end()
  await server.stop()
}

describe.each(['bun', 'node'])('on %s', (runtime) => {
  test('sites are served without control plane and database, also from a cold start, and changes arrive later', async () => {
    await using world = await startWorld({
      commands: ['control', 'listener'],
      env: { NAMEPLATE_LISTENER_RUNTIME: runtime },
    })
    const { stack } = world
    const [control, listener] = stack.parents
    const { tenantId } = await makeNames(world)

    await killTree(control?.pid ?? 0)
    expect(await served(world)).toEqual([...names])

    await killTree(listener?.pid ?? 0)
    await expect(served(world)).rejects.toThrow(/ECONNREFUSED|ECONNRESET/)
    const cold = await startCommand('listener', stack.env)
    try {
      expect(cold.output().toLowerCase()).toContain(`on ${runtime}`)
      expect(await served(world)).toEqual([...names])

      await changeInDatabase(world, tenantId)
      const back = await startCommand('control', stack.env)
      try {
        const one = (): Promise<string> =>
          visit({ port: stack.httpsPort, serverName: 'one.test' }).then((seen) => seen.body)
        await expect.poll(one, { timeout: 60_000 }).toBe('two.test')
        const three = (): Promise<string> =>
          visit({ port: stack.httpsPort, serverName: 'three.test' }).then(
            () => 'served',
            (error: Error) => error.message,
          )
        await expect.poll(three, { timeout: 60_000 }).toMatch(/unrecognized.name/i)
      } finally {
        await back.end()
      }
    } finally {
      await cold.end()
    }
  })
})
