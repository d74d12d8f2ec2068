import { renameSync, writeFileSync } from 'node:fs'

/** Puts a text in place of a file whole or not at all, on disk when it returns. One writer at a time. */
export function replaceFile(file: string, text: string, mode: number): void {
  const fresh = `${file}.new`
  writeFileSync(fresh, text, { mode, flush: true })
  renameSync(fresh, file)
}
