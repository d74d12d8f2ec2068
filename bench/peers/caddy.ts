import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePorts } from '../../server/test/ports.ts'
import { benchFolder, removeFolder } from '../cleanup.ts'
import { SERVER_CPU, startPinned, untilReady } from '../process.ts'
import type { Scene } from '../scene.ts'
import { type ServerKind, serverOf, takesConnections, versionOf } from './server.ts'

/** Caddy from Debian's package, with certificates from files and one processor for Go's scheduler. */
export const caddy: ServerKind = {
  name: 'caddy',
  version: () => versionOf('caddy', ['version'], /v?(\d+\.\d+\.\d+)/),
  async start(scene, { limitMs } = { limitMs: 60_000 }) {
    const [port = 0] = await freePorts(1)
    const folder = benchFolder('caddy')
    const file = join(folder, 'caddy.json')
    writeFileSync(file, JSON.stringify(configOf(scene, port, folder)))
    const env = {
      PATH: process.env.PATH,
      GOMAXPROCS: '1',
      HOME: folder,
      XDG_DATA_HOME: folder,
      XDG_CONFIG_HOME: folder,
    }
    const running = startPinned('caddy', ['run', '--config', file], { cpu: SERVER_CPU, env })
    await untilReady(running, () => takesConnections(port), { limitMs })
    const stop = async (): Promise<void> => {
      await running.stop()
      removeFolder(folder)
    }
    return { ...serverOf('caddy', port, running), stop }
  },
}

function configOf(scene: Scene, port: number, folder: string): object {
  const page =
    scene.upstreamPort === null
      ? { handler: 'file_server', root: scene.webRoot }
      : {
          handler: 'reverse_proxy',
          upstreams: [{ dial: `127.0.0.1:${scene.upstreamPort}` }],
          transport: { protocol: 'http', keep_alive: { max_idle_conns_per_host: 128, idle_timeout: '60s' } },
        }
  const files = scene.serverNames.map((name) => {
    const file = join(scene.pemFolder, `${name}.pem`)
    return { certificate: file, key: file }
  })
  const server = {
    listen: [`127.0.0.1:${port}`],
    protocols: ['h1', 'h2'],
    automatic_https: { disable: true },
    tls_connection_policies: [{ curves: ['x25519', 'secp256r1'], cipher_suites }],
    routes: [{ match: [{ host: scene.serverNames }], handle: [page] }],
    ...(scene.accessLog ? { logs: {} } : {}),
  }
  const access = { writer: { output: 'file', filename: join(folder, 'access.log') }, include: ['http.log.access'] }
  return {
    admin: { disabled: true, config: { persist: false } },
    logging: {
      logs: {
        default: { level: 'ERROR', ...(scene.accessLog ? { exclude: ['http.log.access'] } : {}) },
        ...(scene.accessLog ? { access } : {}),
      },
    },
    apps: { tls: { certificates: { load_files: files } }, http: { servers: { tls: server } } },
  }
}

const cipher_suites = ['TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256']
