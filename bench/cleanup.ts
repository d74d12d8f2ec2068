import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { descendants } from '../server/test/process-tree.ts'

/** How a signal ends us: 128 and its number, as shells say it. */
const signals = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const

/**
 * Call it once, first: from then on every temporary folder, of whoever makes it, is in one, and when this process
 * ends, in whatever way it does (but SIGKILL), all processes below it are killed and that folder is removed.
 */
export function cleanUpAtEnd(): void {
  const root = mkdtempSync(join(tmpdir(), 'np-bench-'))
  // The database's account has to pass through; what is in it is closed by itself.
  chmodSync(root, 0o711)
  process.env.TMPDIR = root
  process.on('exit', () => {
    killBelow()
    rmSync(root, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
  })
  for (const [signal, code] of Object.entries(signals)) process.on(signal, () => process.exit(code))
}

function killBelow(): void {
  for (const { pid } of descendants(process.pid)) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It has ended by itself.
    }
  }
}

/** A new folder below the temporary one. */
export function benchFolder(purpose: string): string {
  return mkdtempSync(join(tmpdir(), `${purpose}-`))
}

/** Removes a folder that `benchFolder` made. */
export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
}
