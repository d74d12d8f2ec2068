import { createWriteStream, existsSync, openSync, readdirSync, rmSync } from 'node:fs'
import { open, rename } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import type { Writable } from 'node:stream'
import { isatty } from 'node:tty'
import { OperatorError } from '../../process/operator-error.ts'

/** Where a backup goes. It is at its place after `keep` alone. */
export type Output = {
  readonly stream: Writable
  /** The stream has ended: flushes it to the disk and puts it at its place. */
  keep(): Promise<void>
  /** Removes what was written. */
  discard(): void
}

/** Opens `-`, the standard output, or a file that is written aside (mode 0600). Throws `OperatorError`. */
export function openOutput(file: string): Output {
  if (file === '-') {
    if (isatty(1)) throw new OperatorError('a backup is no text: send the standard output to a file or program')
    // Not process.stdout: what that still holds when the process ends would be lost.
    return {
      stream: createWriteStream('', { fd: 1, autoClose: false }),
      keep: async () => undefined,
      discard: () => undefined,
    }
  }
  const target = resolve(file)
  removeStale(target)
  const draft = `${target}.${process.pid}.partial`
  const stream = createWriteStream(draft, { fd: openSync(draft, 'wx', 0o600) })
  return {
    stream,
    async keep() {
      await flush(draft)
      await rename(draft, target)
      await flush(dirname(target))
    },
    discard: () => rmSync(draft, { force: true }),
  }
}

/** What a backup to the same file left that was killed. */
function removeStale(target: string): void {
  const folder = dirname(target)
  if (!existsSync(folder)) throw new OperatorError(`${folder}: there is no such folder`)
  for (const name of readdirSync(folder)) {
    const [, pid] = name.startsWith(`${basename(target)}.`) ? (/\.(\d+)\.partial$/.exec(name) ?? []) : []
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) rmSync(join(folder, name), { force: true })
  }
}

async function flush(path: string): Promise<void> {
  const handle = await open(path)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
