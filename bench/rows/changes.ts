import { join } from 'node:path'
import pg from 'pg'
import { openVault } from '../../server/control/open-vault.ts'
import type { Runtime } from '../../server/listener/worker-command.ts'
import { createLog } from '../../server/process/log.ts'
import { startPostgres } from '../../server/process/postgres.ts'
import { nameRecord, startListenerRig } from '../../server/test/listener-rig.ts'
import { freePorts } from '../../server/test/ports.ts'
import { startStack } from '../../server/test/stack.ts'
import { type BigEdge, makeBigEdge } from '../big-edge.ts'
import { renewRow, untilPublished, writeRows } from '../bulk-rows.ts'
import { changedSites, heat, measureChanges } from '../changes.ts'
import { benchFolder, removeFolder } from '../cleanup.ts'
import { siteId } from '../edge.ts'
import type { Figures } from '../report.ts'
import type { MeasuredRow } from './figure-row.ts'

const WORKERS = 2
/** Rows, records and their sealing for 100,000 sites, on two cores. */
const PUBLISH_LIMIT_MS = 30 * 60_000

/** From the write into the edge's own store, the control plane aside. */
export const storeChange: MeasuredRow = {
  name: 'store-change',
  title: 'from a write into the edge store to the new certificate on every worker, many sites, 20 changes a second',
  async measure({ runtimes, sites }) {
    const edge = await makeBigEdge(sites)
    const figures: Record<string, Figures[string]> = {}
    for (const runtime of runtimes) figures[runtime] = await changeStore(runtime, edge)
    edge.remove()
    return figures
  },
}

async function changeStore(runtime: Runtime, { dataDir, sites }: BigEdge): Promise<Figures[string]> {
  const [port = 0] = await freePorts(1)
  const https = [{ address: '127.0.0.1', port }]
  await using rig = await startListenerRig({ runtime, dataDir, workers: WORKERS, https })
  const changed = changedSites(sites)
  await heat(port, changed)
  // Waited for here, before the workers are ended.
  const figures = await measureChanges(port, changed, async (site, certificate) => {
    const before = performance.now()
    const [name = ''] = certificate.names
    await rig.publish([rig.certificate(certificate), nameRecord(name, siteId(site), certificate)])
    return before
  })
  return { sites, ...figures }
}

/** From the commit in the database, through the whole product. */
export const databaseChange: MeasuredRow = {
  name: 'database-change',
  title: 'from the commit in the database to the new certificate on every worker, many sites, 20 changes a second',
  async measure({ runtimes, sites }) {
    const figures: Record<string, Figures[string]> = {}
    for (const runtime of runtimes) figures[runtime] = await changeDatabase(runtime, sites)
    return figures
  },
}

async function changeDatabase(runtime: Runtime, sites: number): Promise<Figures[string]> {
  const folder = benchFolder('postgres')
  // As durable as the product's own: every commit is on disk.
  const postgres = await startPostgres({ folder })
  const env = {
    DATABASE_URL: postgres.url,
    NAMEPLATE_LISTENER_RUNTIME: runtime,
    NAMEPLATE_WORKERS: String(WORKERS),
    NAMEPLATE_LOG_LEVEL: 'warn',
  }
  const pool = new pg.Pool({ connectionString: postgres.url, max: 4 })
  // A connection that breaks while it is idle is replaced; what uses one hears of it by itself.
  pool.on('error', () => undefined)
  try {
    await using stack = await startStack({ env, address: '127.0.0.1' })
    const masterKeyFile = join(stack.dataDir, 'master.key')
    const keys = await openVault({ databaseUrl: postgres.url, masterKeyFile, log: createLog('bench', 'warn') })
    const { vault } = keys
    await keys.close()
    const started = performance.now()
    await writeRows(pool, vault, sites)
    const writtenSeconds = Math.round((performance.now() - started) / 1_000)
    await untilPublished(pool, (text) => console.error(`  ${text}`), PUBLISH_LIMIT_MS)
    const publishedSeconds = Math.round((performance.now() - started) / 1_000)
    const changed = changedSites(sites)
    await heat(stack.httpsPort, changed)
    const figures = await measureChanges(stack.httpsPort, changed, (site, certificate) =>
      renewRow(pool, vault, site, certificate),
    )
    return { sites, ...figures, rowsWrittenSeconds: writtenSeconds, allPublishedSeconds: publishedSeconds }
  } finally {
    await pool.end()
    await postgres.stop()
    removeFolder(folder)
  }
}
