import { closeSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePorts } from '../../server/test/ports.ts'
import { benchFolder, removeFolder } from '../cleanup.ts'
import { SERVER_CPU, startPinned, untilReady } from '../process.ts'
import type { Scene } from '../scene.ts'
import { type ServerKind, serverOf, takesConnections, versionOf } from './server.ts'

/** HAProxy from Debian's package: one thread. It serves no files; the page is a fixed answer of its own. */
export const haproxy: ServerKind = {
  name: 'haproxy',
  version: () => versionOf('haproxy', ['-v'], /version ([\d.]+)/),
  async start(scene, { limitMs } = { limitMs: 60_000 }) {
    const [port = 0] = await freePorts(1)
    const folder = benchFolder('haproxy')
    const file = join(folder, 'haproxy.cfg')
    writeFileSync(file, configOf(scene, port))
    const log = openSync(join(folder, 'access.log'), 'a')
    const running = startPinned('haproxy', ['-db', '-f', file], { cpu: SERVER_CPU, stdout: log })
    closeSync(log)
    await untilReady(running, () => takesConnections(port), { limitMs })
    const stop = async (): Promise<void> => {
      await running.stop()
      removeFolder(folder)
    }
    return { ...serverOf('haproxy', port, running), stop }
  },
}

function configOf(scene: Scene, port: number): string {
  const answer =
    scene.upstreamPort === null
      ? `http-request return status 200 content-type text/html file ${join(scene.webRoot, 'index.html')}`
      : `option forwardfor
  http-request set-header X-Forwarded-Proto https
  default_backend sites`
  const backend =
    scene.upstreamPort === null
      ? ''
      : `backend sites
  http-reuse always
  server one 127.0.0.1:${scene.upstreamPort}`
  return `global
  nbthread 1
  maxconn 8000
  stats timeout 10s
  ssl-default-bind-options ssl-min-ver TLSv1.2
  ssl-default-bind-ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256
  ssl-default-bind-curves X25519:P-256
  ${scene.accessLog ? 'log stdout format raw local0' : ''}
defaults
  mode http
  ${scene.accessLog ? 'log global\n  option httplog' : ''}
  timeout connect 5s
  timeout client 65s
  timeout server 65s
frontend tls
  bind 127.0.0.1:${port} backlog 4096 ssl crt ${scene.pemFolder} strict-sni alpn h2,http/1.1
  ${answer}
${backend}
`
}
