import { fileURLToPath } from 'node:url'
import { type EdgeFolder, prepareEdgeFolder } from '../../server/listener/edge-folder.ts'
import { openEdgeStore } from '../../server/listener/edge-store.ts'
import type { Runtime } from '../../server/listener/worker-command.ts'
import { storeRelease } from '../../server/test/listener-rig.ts'
import { freePorts } from '../../server/test/ports.ts'
import { descendants } from '../../server/test/process-tree.ts'
import { benchFolder, removeFolder } from '../cleanup.ts'
import { fillEdge } from '../edge.ts'
import type { Forged } from '../forge.ts'
import { CLIENT_CPU, pin, SERVER_CPU, startPinned, untilReady } from '../process.ts'
import { LARGE_PATH, largeFile, PAGE, type Scene, siteName } from '../scene.ts'
import type { ServerKind } from './server.ts'

const LISTENER = fileURLToPath(new URL('../../server/listener.ts', import.meta.url))

/**
 * Our own listener as the product starts it: the data plane alone, with one worker, on an edge store that holds the
 * scene's records. The supervisor runs on the clients' processor, but what it uses counts.
 */
export function nameplate(runtime: Runtime, version: () => string): ServerKind {
  const name = `nameplate-${runtime}` as const
  return {
    name,
    version,
    async start(scene, { limitMs } = { limitMs: 60_000 }) {
      const dataDir = benchFolder(name)
      await fillWithScene(prepareEdgeFolder(dataDir, null), scene)
      const [https = 0, http = 0, metrics = 0] = await freePorts(3)
      const env = {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        NAMEPLATE_DATA_DIR: dataDir,
        NAMEPLATE_HTTPS_LISTEN: `127.0.0.1:${https}`,
        NAMEPLATE_HTTP_LISTEN: `127.0.0.1:${http}`,
        NAMEPLATE_METRICS_LISTEN: `127.0.0.1:${metrics}`,
        NAMEPLATE_WORKERS: '1',
        NAMEPLATE_LISTENER_RUNTIME: runtime,
        NAMEPLATE_OUTBOUND_ALLOW: '127.0.0.0/8',
        NAMEPLATE_LOG_LEVEL: 'error',
      }
      const running = startPinned(process.execPath, [LISTENER], { cpu: CLIENT_CPU, env, isNode: true })
      // Not a connection: while it starts, the supervisor itself binds the ports to see that they are free.
      let isReady = false
      running.child.once('message', () => {
        isReady = true
      })
      await untilReady(running, async () => isReady, { limitMs })
      const below = descendants(running.pid)
      const workers = below.filter(({ command }) => command.includes('listener/worker.ts')).map(({ pid }) => pid)
      for (const pid of workers) await pin(pid, SERVER_CPU)
      return {
        name,
        port: https,
        startedAt: running.startedAt,
        pids: [running.pid, ...below.map(({ pid }) => pid)],
        workers,
        async stop() {
          await running.stop()
          removeFolder(dataDir)
        },
      }
    },
  }
}

async function fillWithScene(edge: EdgeFolder, scene: Scene): Promise<void> {
  const files = { 'index.html': PAGE, ...(scene.hasLargeFile ? { [LARGE_PATH.slice(1)]: largeFile() } : {}) }
  const store = openEdgeStore(edge.path)
  // Loopback addresses are exempt from the limits by address otherwise, and what those cost would not be seen.
  const limits = { kind: 'setting', key: 'listenerLimits', payload: { value: { exempt: [] } }, revision: 1 } as const
  store.apply([limits], 1)
  const { upstreamPort, certificates, accessLog } = scene
  const site =
    upstreamPort === null
      ? { manifest: storeRelease(edge.blobs, files) }
      : { kind: 'proxy' as const, upstreams: [{ url: `http://127.0.0.1:${upstreamPort}`, weight: 1 }] }
  await fillEdge(store, edge.identity.keyPair, {
    sites: scene.names,
    nameOf: siteName,
    certificates: certificates.length,
    certificateOf: (number) => certificates[number] as Forged,
    site: { ...site, options: { accessLog } },
  })
  store.close()
}
