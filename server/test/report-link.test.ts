import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { generateSealKeyPair } from '../contract/sealing.ts'
import { HOUR_MS, type TrafficRow, trafficFields } from '../contract/traffic.ts'
import { openChannel } from '../listener/link-channel.ts'
import { startReportLink } from '../listener/observe/report-link.ts'
import { openSpool, type Spool } from '../listener/observe/spool.ts'
import { createTestDatabase } from './database.ts'
import { seedInstallation, silentLog, startPublishRig, temporaryFolder, until } from './publish-rig.ts'

const hour = Math.floor(Date.now() / HOUR_MS)
const one = (siteId: string): TrafficRow => ({ siteId, hour, counts: trafficFields.map((_, at) => (at === 0 ? 1 : 0)) })

/** An observation that is only its spool. */
function observed(spool: Spool) {
  let wake: () => void = () => undefined
  const onSpooled = (listener: () => void): void => {
    wake = listener
  }
  const add = (rows: TrafficRow[]): void => {
    spool.add(rows)
    wake()
  }
  return { observation: { spool, onSpooled } as never, add }
}

test('counters arrive once each, through lost confirmations, restarts of the edge and of the control plane', async () => {
  await using database = await createTestDatabase()
  await using folder = temporaryFolder()
  const { db } = database
  await seedInstallation(db)
  const socketPath = join(folder.path, 'link.sock')
  const identity = { edgeId: randomUUID(), name: 'test', keyPair: generateSealKeyPair() }
  const options = { socketPath, identity }
  const site = randomUUID()
  const counted = async () => Number((await db.trafficHour.findFirst({ where: { siteId: site } }))?.requests ?? 0)

  // There is no control plane yet: what is counted waits.
  let spool = openSpool(folder.path, silentLog)
  spool.add([one(site)])
  spool.add([one(site)])
  {
    await using _rig = await startPublishRig(database, socketPath)
    // The batch arrives, the confirmation does not: the edge dies in between.
    const { frames } = await openChannel(
      options,
      'reports',
      { feedId: null, revision: 0 },
      new AbortController().signal,
    )
    await frames.send({ type: 'traffic', ...spool.next() }, 5_000)
    await until('the batch is in the database', async () => (await counted()) === 2)
    frames.close()
  }
  spool.add([one(site)])
  spool.close()
  spool = openSpool(folder.path, silentLog)
  const { observation, add } = observed(spool)
  const link = startReportLink({ ...options, observation, log: silentLog })
  {
    await using _rig = await startPublishRig(database, socketPath)
    await until('the rest has arrived', async () => (await counted()) === 3)
    add([one(site), one(randomUUID())])
    await until('what comes later arrives too', async () => (await counted()) === 4)
  }
  add([one(site)])
  await using _rig = await startPublishRig(database, socketPath)
  await until('and after the control plane came back', async () => (await counted()) === 5)
  await until('nothing waits any more', () => spool.next() === null)
  await link.close()
  spool.close()
  expect(await counted()).toBe(5)
})

test('an edge that sends no counters is refused and nothing is written', async () => {
  await using database = await createTestDatabase()
  await using folder = temporaryFolder()
  await seedInstallation(database.db)
  const socketPath = join(folder.path, 'link.sock')
  await using _rig = await startPublishRig(database, socketPath)
  const options = { socketPath, identity: { edgeId: randomUUID(), name: 'test', keyPair: generateSealKeyPair() } }
  for (const rows of [[{ siteId: 'x', hour: 1, counts: [-1] }], 'rows', [{ ...one('x'), hour: 1.5 }]]) {
    const { frames } = await openChannel(
      options,
      'reports',
      { feedId: null, revision: 0 },
      new AbortController().signal,
    )
    await frames.send({ type: 'traffic', spoolId: randomUUID(), sequence: 1, rows }, 5_000)
    expect(await frames.receive(30_000)).toMatchObject({ type: 'refusal' })
    frames.close()
  }
  expect(await database.db.trafficReceipt.count()).toBe(0)
})
