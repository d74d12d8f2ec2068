import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestCertificate } from './certificates.ts'
import { freePorts } from './ports.ts'
import { eventually } from './stack.ts'

/** A running nginx that passes everything on to one upstream. */
export type Nginx = AsyncDisposable & { readonly port: number }

/** Starts Debian's nginx on a free port with a configuration of its own, as a reverse proxy over TLS. */
export async function startNginx(certificate: TestCertificate, upstreamPort: number): Promise<Nginx> {
  const folder = mkdtempSync(join(tmpdir(), 'nameplate-nginx-'))
  const [port = 0] = await freePorts(1)
  writeFileSync(join(folder, 'chain.pem'), certificate.chainPem)
  writeFileSync(join(folder, 'key.pem'), certificate.privateKeyPem, { mode: 0o600 })
  writeFileSync(join(folder, 'nginx.conf'), configuration(folder, port, upstreamPort))
  const child = spawn('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', join(folder, 'error.log')])
  const exited = once(child, 'exit')
  let said = ''
  child.stderr.on('data', (piece: Buffer) => (said += piece.toString()))
  const kill = (): void => void child.kill('SIGKILL')
  process.once('exit', kill)
  const close = async (): Promise<void> => {
    process.off('exit', kill)
    child.kill('SIGTERM')
    await exited
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    await eventually(() => accepts(port), 'nginx listens')
  } catch (error) {
    await close()
    throw new Error(`nginx did not start: ${said}`, { cause: error })
  }
  return { port, [Symbol.asyncDispose]: close }
}

/** Short time-outs: a shape that nginx waits on is over soon. The upstream's connections are kept, as ours are. */
function configuration(folder: string, port: number, upstreamPort: number): string {
  return `daemon off;
worker_processes 1;
pid ${folder}/pid;
events { worker_connections 512; }
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  client_header_timeout 1s;
  client_body_timeout 1s;
  keepalive_timeout 1s;
  lingering_timeout 1s;
  upstream recorder { server 127.0.0.1:${upstreamPort}; keepalive 8; }
  server {
    listen 127.0.0.1:${port} ssl http2;
    ssl_certificate ${folder}/chain.pem;
    ssl_certificate_key ${folder}/key.pem;
    location / {
      proxy_pass http://recorder;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_request_buffering off;
    }
  }
}
`
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
