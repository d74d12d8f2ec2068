import { readFileSync } from 'node:fs'

/** The version of this program, as package.json says. */
export function ownVersion(): string {
  const manifest: { version: string } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return manifest.version
}
