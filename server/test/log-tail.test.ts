import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { generateSealKeyPair } from '../contract/sealing.ts'
import type { Actor } from '../control/auth/access.ts'
import { openChannel } from '../listener/link-channel.ts'
import { createLogTail, type LogTail } from '../listener/observe/log-tail.ts'
import { startTailLink } from '../listener/observe/tail-link.ts'
import { createTestDatabase } from './database.ts'
import {
  type PublishRig,
  seedInstallation,
  seedTenant,
  silentLog,
  startPublishRig,
  temporaryFolder,
  until,
} from './publish-rig.ts'

const identityOf = () => ({ edgeId: randomUUID(), name: 'test', keyPair: generateSealKeyPair() })

/** Offers a line again and again until it has arrived: the edge may not follow yet. */
async function arrives(tail: LogTail, siteId: string, line: string, seen: () => string): Promise<void> {
  await until(`"${line}" has arrived`, () => {
    if (!seen().includes(`data: ${line}\n`)) tail.offer(siteId, line)
    return seen().includes(`data: ${line}\n`)
  })
}

test('lines come from every edge to those who follow, also after the control plane was away', async () => {
  await using database = await createTestDatabase()
  await using folder = temporaryFolder()
  const { db } = database
  await seedInstallation(db)
  const { siteId } = await seedTenant(db, 'one.test')
  const actor: Actor = {
    kind: 'user',
    userId: randomUUID(),
    email: 'a@example.com',
    platformRole: 'admin',
    memberships: new Map(),
    token: null,
  }
  const socketPath = join(folder.path, 'link.sock')
  const edges = [createLogTail(), createLogTail()]
  const links = edges.map((tail) => startTailLink({ socketPath, identity: identityOf(), tail, log: silentLog }))
  const follow = async (rig: PublishRig) => {
    let text = ''
    const stream = await rig.tails.open(actor, siteId, async () => actor)
    stream.on('data', (chunk: Buffer) => (text += chunk.toString()))
    return () => text
  }
  for (const round of ['first', 'second']) {
    await using rig = await startPublishRig(database, socketPath)
    const seen = await follow(rig)
    for (const [at, tail] of edges.entries()) await arrives(tail, siteId, `${round} of ${at}`, seen)
    edges[0]?.offer(randomUUID(), 'of nobody')
    await arrives(edges[0] as LogTail, siteId, `${round} last`, seen)
    expect(seen()).not.toContain('of nobody')
    rig.tails.close()
  }
  for (const link of links) await link.close()
})

test('an edge that sends no lines is cut off', async () => {
  await using database = await createTestDatabase()
  await using folder = temporaryFolder()
  await seedInstallation(database.db)
  const socketPath = join(folder.path, 'link.sock')
  await using _rig = await startPublishRig(database, socketPath)
  for (const more of [{ lines: ['a\nb'] }, { lines: 'a' }, { lines: new Array(501).fill('a') }, { siteId: 'x' }]) {
    const options = { socketPath, identity: identityOf() }
    const position = { feedId: null, revision: 0 }
    const { frames } = await openChannel(options, 'tail', position, new AbortController().signal)
    expect(await frames.receive(5_000)).toEqual({ type: 'follow', siteIds: [] })
    await frames.send({ type: 'lines', siteId: randomUUID(), lines: ['a'], leftOut: 0, ...more }, 5_000)
    expect(await frames.receive(5_000)).toMatchObject({ type: 'refusal' })
    frames.close()
  }
})
