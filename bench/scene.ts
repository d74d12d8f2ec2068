import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { benchFolder, removeFolder } from './cleanup.ts'
import { createForge, type Forged, type KeyType } from './forge.ts'

/** The file that every site serves: 1 KiB. */
export const PAGE = Buffer.from('<!doctype html><title>Nameplate bench</title>\n'.padEnd(1_023, 'x').concat('\n'))
/** The large file, of random bytes in effect: nobody compresses it. */
export const LARGE_PATH = '/large.bin'
export const LARGE_BYTES = 200_000_000

/** Certificates that are made in one turn of the event loop. */
const TURN = 250

/** What a scene is made of. */
export type SceneWish = {
  readonly names: number
  readonly keyType: KeyType
  readonly accessLog: boolean
  /** Proxy every site to this port of 127.0.0.1; null: serve files. */
  readonly upstreamPort: number | null
  readonly hasLargeFile: boolean
}

/** The same sites for every server: names `s0000000.bench.test` and on, a certificate each, one content. */
export type Scene = SceneWish & {
  readonly folder: string
  readonly serverNames: readonly string[]
  readonly certificates: readonly Forged[]
  /** `<name>.pem`: leaf, CA, key. */
  readonly pemFolder: string
  readonly webRoot: string
  remove(): void
}

/** The name of the site with a number; the handshake client knows the same rule. */
export function siteName(number: number): string {
  return `s${String(number).padStart(7, '0')}.bench.test`
}

/** Makes certificates and files. */
export async function makeScene(wish: SceneWish): Promise<Scene> {
  const folder = benchFolder('scene')
  const pemFolder = join(folder, 'certificates')
  const webRoot = join(folder, 'www')
  mkdirSync(pemFolder)
  mkdirSync(webRoot)
  writeFileSync(join(webRoot, 'index.html'), PAGE)
  if (wish.hasLargeFile) writeFileSync(join(webRoot, LARGE_PATH), largeFile())
  const forge = createForge()
  const serverNames = Array.from({ length: wish.names }, (_, number) => siteName(number))
  const certificates: Forged[] = []
  for (const name of serverNames) {
    const certificate = forge.issue(name, wish.keyType)
    writePem(pemFolder, certificate)
    certificates.push(certificate)
    if (certificates.length % TURN === 0) await nextTurn()
  }
  return {
    ...wish,
    folder,
    serverNames,
    certificates,
    pemFolder,
    webRoot,
    remove: () => removeFolder(folder),
  }
}

/** The content of `LARGE_PATH`. */
export function largeFile(): Buffer {
  const bytes = Buffer.allocUnsafe(LARGE_BYTES)
  let state = 0x9e3779b9
  for (let at = 0; at < LARGE_BYTES; at += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes.writeUInt32LE(state, at)
  }
  return bytes
}

function writePem(folder: string, { names, chainPem, privateKeyPem }: Forged): void {
  writeFileSync(join(folder, `${names[0]}.pem`), chainPem + privateKeyPem)
}
