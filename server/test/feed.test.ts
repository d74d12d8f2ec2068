import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { expect, test } from 'vitest'
import { recordKinds } from '../contract/records.ts'
import { generateSealKeyPair, unsealFrom } from '../contract/sealing.ts'
import type { Db } from '../control/db.ts'
import { compileRecord, type RecordKey, ticketEpochAt } from '../control/publish/compile.ts'
import { publishBatch } from '../control/publish/sequence.ts'
import { loadSources } from '../control/publish/store.ts'
import { createTestDatabase } from './database.ts'
import { seededRandom, type Written, writeChanges } from './feed-writers.ts'
import {
  seedHostname,
  seedInstallation,
  seedSite,
  seedTenant,
  startPublishRig,
  temporaryFolder,
  until,
} from './publish-rig.ts'

/** Size of the run: 10,000 is what the design asks for; FEED_TEST_CHANGES sets another. */
const CHANGES = Number(process.env.FEED_TEST_CHANGES ?? 10_000)
const SEED = Number(process.env.FEED_TEST_SEED ?? 1)
const WRITERS = 8
const EDGES = 3
const HELD_NAME = 'held.held.test'

const edgeProgram = fileURLToPath(new URL('edge-process.ts', import.meta.url))

test(`${CHANGES} changes by ${WRITERS} writers arrive at ${EDGES} edges that are cut off and killed; a naive reader misses some`, async () => {
  await using database = await createTestDatabase()
  await using folder = temporaryFolder()
  const { db, url } = database
  await seedInstallation(db)
  const seeds = []
  for (let index = 0; index < WRITERS; index++) seeds.push(await seedTenant(db, `t${index}.test`))
  for (const seed of seeds) for (let index = 0; index < 3; index++) await seedSite(db, seed.tenantId)
  const naive = await startNaiveReader(url)
  const held = await holdOpen(db, url)

  await using rig = await startPublishRig(database, join(folder.path, 's'))
  const proxy = await startCuttingProxy(join(folder.path, 'p'), rig.socketPath)
  const edges = Array.from({ length: EDGES }, (_, index) => startEdge(proxy.path, join(folder.path, `edge${index}`)))
  const chaos = startChaos(edges, proxy, SEED)

  const share = Math.ceil(CHANGES / WRITERS)
  const written = await Promise.all(seeds.map((seed, index) => writeChanges(url, seed, share, SEED * 100 + index)))
  await until('everything before the held transaction is published', async () => (await db.feedChange.count()) === 0)
  await naive.caughtUp()
  await held.commit()
  await chaos.stop()
  await until('every edge holds the whole feed', () => allHold(db, edges), 120_000)
  await naive.caughtUp()
  const missed = await naive.stop()

  const wanted = await expectedRecords(db)
  for (const edge of edges) {
    await edge.end()
    expect(dump(edge)).toEqual(wanted)
  }
  await proxy.close()
  const total = sum(written)
  expect(total.committed + total.rolledBack).toBeGreaterThanOrEqual(CHANGES)
  expect(total.rolledBack).toBeGreaterThan(0)
  expect(wanted.get(`name ${HELD_NAME}`)).toBeDefined()
  expect(missed).toContain(`name ${HELD_NAME}`)
}, 600_000)

function sum(written: readonly Written[]): Written {
  const total: Written = { committed: 0, rolledBack: 0, refused: 0 }
  for (const part of written) {
    total.committed += part.committed
    total.rolledBack += part.rolledBack
    total.refused += part.refused
  }
  return total
}

/** The oracle: every key that was ever published or could be, compiled from the rows as they are now. */
async function expectedRecords(db: Db): Promise<Map<string, unknown>> {
  const keys = (await db.feedRecord.findMany({ select: { kind: true, key: true } })) as RecordKey[]
  const add = (kind: RecordKey['kind'], names: string[]): void => void keys.push(...names.map((key) => ({ kind, key })))
  add(
    'name',
    (await db.hostname.findMany()).map(({ name }) => name),
  )
  add(
    'site',
    (await db.site.findMany()).map(({ id }) => id),
  )
  add(
    'address',
    (await db.address.findMany()).map(({ address }) => address),
  )
  add(
    'certificate',
    (await db.certificateVersion.findMany()).map(({ fingerprint }) => fingerprint),
  )
  const sources = await loadSources(db, keys, ticketEpochAt(Date.now()))
  const records = new Map<string, unknown>()
  for (const key of keys) {
    const payload = compileRecord(key, sources)
    if (payload !== null) records.set(`${key.kind} ${key.key}`, payload)
  }
  return records
}

/** What an edge has on its disk; sealed values are opened, checked and left out. */
function dump(edge: Edge): Map<string, unknown> {
  const file = new DatabaseSync(join(edge.folder, 'records.sqlite'), { readOnly: true })
  try {
    const rows = file.prepare('select kind, key, payload from record').all() as Record<string, string>[]
    return new Map(rows.map(({ kind = '', key = '', payload = '' }) => [`${kind} ${key}`, opened(edge, key, payload)]))
  } finally {
    file.close()
  }
}

function opened({ keyPair }: Edge, key: string, text: string): unknown {
  const payload = JSON.parse(text)
  if ('sealedKey' in payload) {
    const plain = unsealFrom(keyPair, Buffer.from(payload.sealedKey, 'base64'), key).toString()
    return { ...payload, sealedKey: plain === `key ${key}` ? '' : plain }
  }
  if (!('sealedSecret' in payload)) return payload
  unsealFrom(keyPair, Buffer.from(payload.sealedSecret, 'base64'), 'ticket-key')
  return { ...payload, sealedSecret: '' }
}

type Edge = {
  readonly edgeId: string
  readonly folder: string
  readonly keyPair: ReturnType<typeof generateSealKeyPair>
  /** Kills it as the power would, and starts it again; with a fault point it then dies at that step by itself. */
  restart(faultPoint: string | null): Promise<void>
  isRunning(): boolean
  end(): Promise<void>
}

function startEdge(socketPath: string, folder: string): Edge {
  const edgeId = randomUUID()
  const keyPair = generateSealKeyPair()
  const keys = [keyPair.privateKey.toString('base64'), keyPair.publicKey.toString('base64')]
  const start = (faultPoint: string | null): ChildProcess =>
    spawn(process.execPath, [edgeProgram, socketPath, folder, edgeId, ...keys], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: faultPoint === null ? {} : { FAULT_POINT: faultPoint },
    })
  let child = start(null)
  const end = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }
  return {
    edgeId,
    folder,
    keyPair,
    end,
    isRunning: () => child.exitCode === null && child.signalCode === null,
    async restart(faultPoint) {
      await end()
      child = start(faultPoint)
    },
  }
}

async function allHold(db: Db, edges: readonly Edge[]): Promise<boolean> {
  if ((await db.feedChange.count()) > 0) return false
  const feed = await db.installation.findUniqueOrThrow({ where: { id: 1 } })
  const rows = await db.edge.findMany({ where: { id: { in: edges.map(({ edgeId }) => edgeId) } } })
  return (
    rows.length === edges.length && rows.every((row) => row.revision === feed.revision && row.feedId === feed.feedId)
  )
}

/** A socket in front of the real one, whose connections can be cut in the middle of a frame. */
async function startCuttingProxy(path: string, target: string) {
  const pairs = new Set<readonly [Socket, Socket]>()
  const server = createServer((near) => {
    const far = connect(target)
    const pair = [near, far] as const
    pairs.add(pair)
    for (const socket of pair) socket.on('error', () => undefined)
    near.pipe(far).pipe(near)
    near.on('close', () => far.destroy())
    far.on('close', () => near.destroy() && pairs.delete(pair))
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return {
    path,
    cut(random: () => number) {
      const all = [...pairs]
      all[Math.floor(random() * all.length)]?.[0].destroy()
    },
    async close() {
      for (const [near] of pairs) near.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** Cuts connections and kills edges at random until it is stopped; afterwards every edge runs. */
function startChaos(edges: readonly Edge[], proxy: { cut(random: () => number): void }, seed: number) {
  const random = seededRandom(seed)
  let isStopped = false
  const strike = async (): Promise<void> => {
    const dice = random()
    if (dice < 0.4) proxy.cut(random)
    const faultPoint = dice < 0.5 ? 'apply.written' : dice < 0.6 ? 'apply.acked' : null
    if (dice < 0.7) await edges[Math.floor(random() * edges.length)]?.restart(faultPoint)
  }
  const run = async (): Promise<void> => {
    do {
      await pause(100 + random() * 300)
      await strike()
    } while (!isStopped)
  }
  const running = run()
  return {
    async stop() {
      isStopped = true
      await running
      // Those that are to die at a fault point still may; they run without one from here on.
      for (const edge of edges) await edge.restart(null)
    },
  }
}

/** A transaction that has written early and commits late: its numbers are old when it becomes visible. */
async function holdOpen(db: Db, url: string): Promise<{ commit(): Promise<void> }> {
  const seed = await seedTenant(db, 'held.test')
  await seedHostname(db, seed, 'before.held.test', null)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query('begin')
  await client.query(
    `insert into hostname (id, tenant_id, domain_id, site_id, name, ownership_state, verified_at, updated_at)
      values ($1, $2, $3, $4, $5, 'verified', now(), now())`,
    [randomUUID(), seed.tenantId, seed.domainId, seed.siteId, HELD_NAME],
  )
  return {
    async commit() {
      await client.query('commit')
      await client.end()
    },
  }
}

/**
 * The reader that this feed is not: numbers come from a sequence at the time of writing, and it asks
 * for what is greater than the last it saw.
 */
async function startNaiveReader(url: string) {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(`create table naive (revision bigserial primary key, kind text, key text);
    create function naive_mark() returns trigger language plpgsql as $$
      begin insert into naive (kind, key) values (new.kind, new.key); return null; end $$;
    create trigger naive_marked after insert on feed_change for each row execute function naive_mark();`)
  const seen = new Set<string>()
  let revision = 0
  let isStopped = false
  const read = async (): Promise<number> => {
    const { rows } = await client.query('select * from naive where revision > $1 order by revision', [revision])
    for (const row of rows) {
      revision = Number(row.revision)
      seen.add(`${row.kind} ${row.key}`)
    }
    return rows.length
  }
  const run = async (): Promise<void> => {
    while (!isStopped) if ((await read()) === 0) await pause(5)
  }
  const running = run()
  return {
    caughtUp: async () => {
      const { rows } = await client.query('select max(revision) as newest from naive')
      await until('the naive reader is at the end', () => revision >= Number(rows[0]?.newest ?? 0))
    },
    /** The keys that it never saw. */
    async stop(): Promise<string[]> {
      isStopped = true
      await running
      const { rows } = await client.query("select distinct kind || ' ' || key as name from naive")
      await client.end()
      return rows.map(({ name }) => String(name)).filter((name) => !seen.has(name))
    },
  }
}

test.each(['publish.compiled', 'publish.sent'])('a control plane that dies at %s loses nothing', async (step) => {
  await using database = await createTestDatabase()
  await using folder = temporaryFolder()
  const { db, url } = database
  await seedInstallation(db)
  const seed = await seedTenant(db, 'one.test')
  for (let index = 0; index < 20; index++) await seedHostname(db, seed, `n${index}.one.test`, null)
  const socketPath = join(folder.path, 's')
  const edge = startEdge(socketPath, join(folder.path, 'edge'))
  const program = fileURLToPath(new URL('publish-process.ts', import.meta.url))
  const dying = spawn(process.execPath, [program, url, socketPath], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: { FAULT_POINT: step },
  })
  const [, signal] = await once(dying, 'exit')
  expect(signal).toBe('SIGKILL')
  await using _rig = await startPublishRig(database, socketPath)
  await until('the edge holds the feed', () => allHold(db, [edge]))
  await edge.end()
  expect(dump(edge)).toEqual(await expectedRecords(db))
  const revisions = (await db.feedRecord.findMany()).map((row) => Number(row.revision)).sort((a, b) => a - b)
  expect(revisions).toEqual(revisions.map((_, index) => index + 1))
})

test('every prefix of the feed is whole: a name never points at what is not there yet', async () => {
  await using database = await createTestDatabase()
  const { db, url } = database
  await seedInstallation(db)
  const seeds = [await seedTenant(db, 'a.test'), await seedTenant(db, 'b.test')]
  let isWriting = true
  const writing = Promise.all(seeds.map((seed, index) => writeChanges(url, seed, 300, SEED + index))).finally(() => {
    isWriting = false
  })
  const there = new Map<string, { certificates?: string[]; siteId?: string | null } | null>()
  let revision = 0
  for (;;) {
    const wasWriting = isWriting
    const result = await publishBatch(db, Date.now())
    const records = await db.feedRecord.findMany({
      where: { revision: { gt: revision } },
      orderBy: { revision: 'asc' },
    })
    for (const record of records) {
      revision = Number(record.revision)
      there.set(`${record.kind} ${record.key}`, record.payload as never)
      expectWhole(there)
    }
    if (result.state === 'done' && result.marks === 0 && !wasWriting) break
  }
  await writing
  expect([...there.keys()].filter((key) => key.startsWith('certificate ')).length).toBeGreaterThan(0)
})

function expectWhole(there: ReadonlyMap<string, { certificates?: string[]; siteId?: string | null } | null>): void {
  for (const [key, payload] of there) {
    const isPointing = key.startsWith('name ') || key.startsWith('address ')
    if (!isPointing || payload === null) continue
    const needs = (payload.certificates ?? []).map((fingerprint) => `certificate ${fingerprint}`)
    if (payload.siteId != null) needs.push(`site ${payload.siteId}`)
    for (const need of needs) expect(there.get(need) ?? null, `${key} needs ${need}`).not.toBeNull()
  }
}

test('the kinds of the contract are all compiled', () => {
  const none = { names: new Map(), sites: new Map(), certificates: new Map(), addresses: new Map() }
  const sources = {
    ...none,
    siteFingerprints: new Map(),
    challenges: new Map(),
    settings: new Map(),
    ticketEpoch: 7,
  }
  const compiled = recordKinds.map((kind) => [kind, compileRecord({ kind, key: 'x' }, sources)])
  expect(Object.fromEntries(compiled)).toEqual({
    setting: null,
    'ticket-key': null,
    certificate: null,
    site: null,
    name: null,
    address: null,
    challenge: null,
  })
})
