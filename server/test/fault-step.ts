import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { FaultPoint } from '../process/fault-point.ts'
import { ApiProblem } from './client.ts'
import { createTestDatabase } from './database.ts'
import { expectSeen } from './fault-table.ts'
import { eventually } from './stack.ts'
import { visit } from './visit.ts'
import { addHostname, archiveOf, startWorld, untilLive, type World } from './world.ts'

/** What is there after the process died at its step and the work was carried on. */
export type StepOutcome = { readonly orders: number; readonly releases: number[] }

/** A call that a dying process may leave without an answer is made again, as a person would. */
function insist<T>(call: () => Promise<T>, what: string): Promise<T> {
  return eventually(
    () =>
      call().catch((error: unknown) => {
        if (error instanceof ApiProblem && error.status < 500) throw error
        return undefined
      }) as Promise<T | undefined>,
    what,
  )
}

async function upload(world: World, siteId: string): Promise<number[]> {
  const archive = await archiveOf({ 'index.html': 'served' })
  const path = `/sites/${siteId}/releases`
  await world.api.upload(path, 'application/gzip', archive).catch(() => undefined)
  const numbers = async (): Promise<number[]> => {
    const { items } = await insist(
      () => world.api.get<{ items: { number: number }[] }>(path),
      'the releases can be listed',
    )
    return items.map((release) => release.number)
  }
  if ((await numbers()).length === 0)
    await insist(() => world.api.upload(path, 'application/gzip', archive), 'the upload is taken')
  return numbers()
}

/**
 * Takes a site live while one process dies at `point`, once, and checks what the row `id` of
 * docs/faults.md says that a person sees.
 */
export async function liveThroughDeathAt(point: FaultPoint, id: string): Promise<StepOutcome> {
  const marks = mkdtempSync(join(tmpdir(), 'nameplate-step-'))
  const mark = join(marks, 'died')
  await using database = await createTestDatabase()
  const env = { DATABASE_URL: database.url, FAULT_POINT: point, FAULT_ONCE: mark }
  await using world = await startWorld({ env })
  try {
    const tenant = await insist(() => world.api.post<{ id: string }>('/tenants', { name: 'Tenant' }), 'a tenant')
    // A call whose answer was lost may have been carried out: the next one has another name.
    let attempt = 0
    const named = () => {
      attempt += 1
      return { name: `Site ${attempt}`, tenantId: tenant.id, kind: 'static' }
    }
    const site = await insist(() => world.api.post<{ id: string }>('/sites', named()), 'a site')
    const releases = await upload(world, site.id)
    const place = { tenantId: tenant.id, siteId: site.id }
    const hostname = await insist(() => addHostname(world, place, 'step.test').catch(found(world)), 'a hostname')
    await untilLive(world.api, hostname.id)
    const seen = await visit({ port: world.stack.httpsPort, serverName: 'step.test', ca: world.root })
    expect(seen).toMatchObject({ status: 200, body: 'served' })
    expect(existsSync(mark), `a process has died at ${point}`).toBe(true)
    expectSeen(id, world.stack.output())
    return { orders: world.pebble.orderCount(), releases }
  } finally {
    rmSync(marks, { recursive: true, force: true })
  }
}

/** The hostname was made although the answer was lost: go on with it. */
function found(world: World): (error: unknown) => Promise<{ id: string }> {
  return async (error) => {
    if (!(error instanceof ApiProblem) || error.code !== 'NAME_EXISTS') throw error
    const { items } = await world.api.get<{
      items: { id: string; ownership: { instructions: { type: string; name: string; value: string }[] } }[]
    }>('/hostnames')
    const [hostname] = items
    const record = hostname?.ownership.instructions.find((instruction) => instruction.type === 'TXT')
    if (hostname === undefined || record === undefined) throw error
    await world.pebble.setTxt(record.name, record.value)
    return hostname
  }
}
