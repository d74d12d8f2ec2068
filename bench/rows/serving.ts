import { downloadClient } from '../clients/download.ts'
import { h2loadClient } from '../clients/h2load.ts'
import { type HandshakeOptions, handshakeClient } from '../clients/handshakes.ts'
import { browserFields, wrkClient } from '../clients/wrk.ts'
import type { RoundRow, SceneName } from '../rounds.ts'
import { LARGE_BYTES, LARGE_PATH, siteName } from '../scene.ts'

/** Names of a scene that is measured in rounds. */
export const SCENE_NAMES = 1_000
const HOT_NAME = siteName(7)
const CONNECTIONS = 16

type HandshakeRow = Omit<HandshakeOptions, 'port' | 'seconds' | 'names'>

function handshakes(name: string, title: string, scene: SceneName, options: HandshakeRow): RoundRow {
  return {
    name,
    title,
    scene,
    unit: options.junk === true ? 'refusals' : 'handshakes',
    client: ({ port }, seconds) => handshakeClient({ port, seconds, names: SCENE_NAMES, ...options }),
  }
}

function keepAlive(name: string, title: string, scene: SceneName, fields: Readonly<Record<string, string>>): RoundRow {
  return {
    name,
    title,
    scene,
    unit: 'requests',
    async client({ port }, seconds) {
      return wrkClient({ port, seconds, serverName: HOT_NAME, connections: CONNECTIONS, fields })
    },
  }
}

function http2(name: string, connections: number, streams: number): RoundRow {
  return {
    name,
    title: `HTTP/2, ${connections} connections of ${streams} ${streams === 1 ? 'stream' : 'streams'}`,
    scene: 'ecdsa',
    unit: 'requests',
    async client({ port }, seconds) {
      return h2loadClient({ port, serverName: HOT_NAME, connections, streams, seconds })
    },
  }
}

const largeFile: RoundRow = {
  name: 'file',
  title: 'a file of 200 MB',
  scene: 'ecdsa',
  unit: 'MB',
  without: { haproxy: 'serves no files' },
  async client({ port }) {
    return downloadClient({ port, serverName: HOT_NAME, path: LARGE_PATH, bytes: LARGE_BYTES })
  },
}

/** The rows that are measured in rounds, in the order of the table. */
export const servingRows: readonly RoundRow[] = [
  handshakes('full-1.3', 'full handshake, TLS 1.3, ECDSA', 'ecdsa', {}),
  handshakes('full-1.2', 'full handshake, TLS 1.2, ECDSA', 'ecdsa', { tls: '1.2' }),
  handshakes('full-1.3-rsa', 'full handshake, TLS 1.3, RSA-2048', 'rsa', {}),
  handshakes('full-1.2-rsa', 'full handshake, TLS 1.2, RSA-2048', 'rsa', { tls: '1.2' }),
  handshakes('resumed-1.3', 'resumed handshake, TLS 1.3', 'ecdsa', { resume: true }),
  handshakes('resumed-1.2', 'resumed handshake, TLS 1.2', 'ecdsa', { resume: true, tls: '1.2' }),
  handshakes('junk', 'junk server name, refused', 'ecdsa', { junk: true }),
  keepAlive('keepalive', 'GET 1 KiB, keep-alive, small head', 'ecdsa', {}),
  keepAlive('keepalive-browser', 'GET 1 KiB, keep-alive, head of a browser', 'ecdsa', browserFields),
  keepAlive('keepalive-log', 'the same with the access log on', 'log', browserFields),
  http2('h2-10x10', 10, 10),
  http2('h2-50x1', 50, 1),
  keepAlive('proxy', 'proxied GET 1 KiB, keep-alive', 'proxy', {}),
  largeFile,
]
