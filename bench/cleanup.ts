import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { descendants } from '../server/test/process-tree.ts'

/**
 * What a bench leaves behind unless it is undone: folders and processes. Everything is undone when this process
 * ends, in whatever way it does (but SIGKILL).
 */
const folders = new Set<string>()
const pids = new Set<number>()

/** A new folder below the temporary one. */
export function benchFolder(purpose: string): string {
  const folder = mkdtempSync(join(tmpdir(), `nameplate-bench-${purpose}-`))
  folders.add(folder)
  return folder
}

/** Removes a folder that `benchFolder` made. */
export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
  folders.delete(folder)
}

/** The process, with all that it starts, is killed when this one ends. Returns what takes that back. */
export function killAtEnd(pid: number): () => void {
  pids.add(pid)
  return () => void pids.delete(pid)
}

/** Undoes everything; on SIGINT, SIGTERM and SIGHUP too. Call it once, first. */
export function cleanUpAtEnd(): void {
  process.on('exit', cleanUp)
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)
    process.on(signal, () => process.exit(code))
}

function cleanUp(): void {
  const all = [...pids].flatMap((pid) => [pid, ...descendants(pid).map((entry) => entry.pid)])
  for (const pid of all) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It has ended by itself.
    }
  }
  for (const folder of folders) removeFolder(folder)
}
