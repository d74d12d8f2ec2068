import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'vitest'
import type { OperationView } from '../../control/certificates/schema.ts'
import type { FaultPoint } from '../../process/fault-point.ts'
import { createTestDatabase } from '../database.ts'
import { expectSeen } from '../fault-table.ts'
import { eventually } from '../stack.ts'
import { addHostname, makeSite, startWorld, untilLive, type World } from '../world.ts'

/** docs/faults.md, "Killed at a named step", of what is wanted of a CA besides orders. */
const steps: [id: string, point: FaultPoint, ask: (world: World, certificateId: string) => Promise<OperationView>][] = [
  [
    'revocation-told',
    'revocation.told',
    ({ api }, id) => api.post(`/certificates/${id}/revoke`, { reason: 'superseded' }),
  ],
  [
    'account-key-changed',
    'account.key-changed',
    async ({ api }) => {
      const { items } = await api.get<{ items: { id: string }[] }>('/issuers')
      return api.post(`/issuers/${items[0]?.id}/rollover`)
    },
  ],
]

test.each(steps)('%s', async (id, point, ask) => {
  const marks = mkdtempSync(join(tmpdir(), 'nameplate-step-'))
  const mark = join(marks, 'died')
  await using database = await createTestDatabase()
  await using world = await startWorld({ env: { DATABASE_URL: database.url, FAULT_POINT: point, FAULT_ONCE: mark } })
  try {
    const site = await makeSite(world.api, 'Step', { 'index.html': 'served' })
    const live = await untilLive(world.api, (await addHostname(world, site, 'step.test')).id)
    const operation = await ask(world, live.certificate.id ?? '')
    await eventually(async () => existsSync(mark), `a process has died at ${point}`)
    // What passing time does: the dead process's lease ends.
    const data = { leaseExpiresAt: new Date(Date.now() - 1_000) }
    await database.db.operation.updateMany({ where: { id: operation.id }, data })
    const seen = () => world.api.get<OperationView>(`/operations/${operation.id}`).catch(() => null)
    await eventually(async () => (await seen())?.state === 'succeeded', 'the operation is done')
    expectSeen(id, world.stack.output())
    await untilLive(world.api, (await addHostname(world, site, 'after.test')).id)
  } finally {
    rmSync(marks, { recursive: true, force: true })
  }
})
