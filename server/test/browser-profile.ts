import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from './visit.ts'

/** A home of a browser, removed with `using`. */
export type BrowserHome = Disposable & { readonly path: string }

/** A new home whose certificate database (NSS, in `folder` below it) trusts a CA for servers. */
export async function browserHome(caPem: string, folder: string): Promise<BrowserHome> {
  const path = mkdtempSync(join(tmpdir(), 'nameplate-browser-'))
  const database = join(path, folder)
  mkdirSync(database, { recursive: true })
  const ca = join(path, 'ca.pem')
  writeFileSync(ca, caPem)
  await certutil(['-N', '-d', `sql:${database}`, '--empty-password'])
  await certutil(['-A', '-d', `sql:${database}`, '-n', 'test', '-t', 'C,,', '-i', ca])
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true, maxRetries: 5 }) }
}

async function certutil(args: readonly string[]): Promise<void> {
  const { code, stderr } = await run('certutil', args)
  if (code !== 0) throw new Error(`certutil ${args[0]}: ${stderr}`)
}
