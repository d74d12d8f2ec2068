import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ServingRecord } from '../contract/records.ts'
import { sealTo } from '../contract/sealing.ts'
import { type EdgeFolder, prepareEdgeFolder } from '../listener/edge-folder.ts'
import { openEdgeStore } from '../listener/edge-store.ts'
import type { TestCertificate } from './certificates.ts'
import { nameRecord, siteRecord } from './listener-rig.ts'
import { freePorts } from './ports.ts'
import { descendants } from './process-tree.ts'

/** A data directory with one site on the edge's disk, and the environment of a listener on it. */
export type ListenerInstallation = Disposable & {
  readonly dataDir: string
  readonly edge: EdgeFolder
  readonly port: number
  readonly env: NodeJS.ProcessEnv
}

/** The certificate's first name redirects to `https://else.example/`. */
export async function makeListenerInstallation(
  certificate: TestCertificate,
  env: NodeJS.ProcessEnv = {},
): Promise<ListenerInstallation> {
  const dataDir = mkdtempSync(join(tmpdir(), 'nameplate-listener-'))
  const edge = prepareEdgeFolder(dataDir, null)
  const store = openEdgeStore(edge.path)
  const { chainPem, names, notAfter, fingerprint, privateKeyPem } = certificate
  const sealedKey = sealTo(edge.identity.keyPair.publicKey, Buffer.from(privateKeyPem), fingerprint).toString('base64')
  const records = [
    { kind: 'certificate', key: fingerprint, payload: { chainPem, names, notAfter, sealedKey } },
    siteRecord('site', { kind: 'redirect', redirectTo: 'https://else.example/' }),
    nameRecord(names[0] ?? '', 'site', certificate),
  ]
  store.apply(
    records.map((record) => ({ ...record, revision: 1 }) as ServingRecord),
    1,
  )
  store.close()
  const [port = 0, httpPort = 0] = await freePorts(2)
  return {
    dataDir,
    edge,
    port,
    env: {
      PATH: process.env.PATH,
      NAMEPLATE_DATA_DIR: dataDir,
      NAMEPLATE_HTTPS_LISTEN: `127.0.0.1:${port}`,
      NAMEPLATE_HTTP_LISTEN: `127.0.0.1:${httpPort}`,
      NAMEPLATE_WORKERS: '2',
      ...env,
    },
    [Symbol.dispose]: () => rmSync(dataDir, { recursive: true, force: true }),
  }
}

/** Process ids below `pid` whose command line has `fragment` in it. */
export function pidsBelow(pid: number, fragment: string): number[] {
  return descendants(pid)
    .filter(({ command }) => command.includes(fragment))
    .map((entry) => entry.pid)
}
