import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePorts } from '../../server/test/ports.ts'
import { descendants } from '../../server/test/process-tree.ts'
import { benchFolder, removeFolder } from '../cleanup.ts'
import { CLIENT_CPU, type Running, SERVER_CPU, startPinned, untilReady } from '../process.ts'
import type { Scene } from '../scene.ts'
import { type ServerKind, serverOf, takesConnections, versionOf } from './server.ts'

/** nginx from Debian's package: one worker; see bench/README.md for why each line stands there. */
export const nginx: ServerKind = {
  name: 'nginx',
  version: () => versionOf('nginx', ['-v'], /nginx\/([\d.]+)/),
  async start(scene, { limitMs } = { limitMs: 60_000 }) {
    const [port = 0] = await freePorts(1)
    const { running, folder } = await run(tlsConfig(scene, port), { cpu: SERVER_CPU, port, limitMs })
    const server = serverOf('nginx', port, running)
    const stop = async (): Promise<void> => {
      await running.stop()
      removeFolder(folder)
    }
    return { ...server, stop }
  },
}

/** The upstream of every proxy: plain HTTP, on the clients' processor, where nobody counts what it uses. */
export async function startUpstream(webRoot: string): Promise<{ port: number; stop(): Promise<void> }> {
  const [port = 0] = await freePorts(1)
  const server = `server { listen 127.0.0.1:${port} backlog=4096; root ${webRoot}; }`
  const { running, folder } = await run(httpBlock(server, 'access_log off;'), {
    cpu: CLIENT_CPU,
    port,
    limitMs: 60_000,
  })
  return {
    port,
    async stop() {
      await running.stop()
      removeFolder(folder)
    },
  }
}

type RunOptions = { readonly cpu: number; readonly port: number; readonly limitMs: number }

async function run(config: string, { cpu, port, limitMs }: RunOptions): Promise<{ running: Running; folder: string }> {
  const folder = benchFolder('nginx')
  mkdirSync(join(folder, 'logs'))
  const file = join(folder, 'nginx.conf')
  writeFileSync(file, config)
  const running = startPinned('nginx', ['-e', 'stderr', '-p', folder, '-c', file], { cpu })
  // The master listens before its worker is there.
  const isUp = async () => descendants(running.pid).length > 0 && (await takesConnections(port))
  await untilReady(running, isUp, { limitMs })
  return { running, folder }
}

function tlsConfig(scene: Scene, port: number): string {
  const log = scene.accessLog ? 'access_log logs/access.log combined buffer=64k flush=1s;' : 'access_log off;'
  const answer =
    scene.upstreamPort === null ? `root ${scene.webRoot};` : 'location / { proxy_pass http://upstream_sites; }'
  const shared = `
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256;
    ssl_ecdh_curve X25519:prime256v1;
    ssl_session_tickets on;
    server_names_hash_max_size ${Math.max(4_096, scene.names * 4)};
    server_names_hash_bucket_size 128;
    output_buffers 2 256k;
    http2_max_concurrent_streams 128;
    ${scene.upstreamPort === null ? '' : upstreamConfig(scene.upstreamPort)}
    server { listen 127.0.0.1:${port} ssl http2 default_server backlog=4096; ssl_reject_handshake on; }`
  const servers = scene.serverNames.map((name) => {
    const file = join(scene.pemFolder, `${name}.pem`)
    return `server { listen 127.0.0.1:${port} ssl http2; server_name ${name}; ssl_certificate ${file}; ssl_certificate_key ${file}; ${answer} }`
  })
  return httpBlock([shared, ...servers].join('\n'), log)
}

function upstreamConfig(port: number): string {
  return `upstream upstream_sites { server 127.0.0.1:${port}; keepalive 128; keepalive_requests 1000000; }
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;`
}

function httpBlock(inside: string, log: string): string {
  return `daemon off; pid nginx.pid; user root; worker_processes 1; worker_rlimit_nofile 20000;
error_log stderr crit;
events { worker_connections 10000; }
http {
  types { text/html html; }
  default_type application/octet-stream;
  ${log}
  sendfile on;
  tcp_nopush on;
  keepalive_timeout 65s;
  keepalive_requests 100000000;
  open_file_cache max=10000 inactive=60s;
  open_file_cache_valid 60s;
  ${inside}
}
`
}
