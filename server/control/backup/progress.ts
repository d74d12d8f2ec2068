import type { OnPart } from './write-parts.ts'

/** Between two lines of progress: a terminal overwrites its line, a log gets few. */
const TERMINAL_MS = 250
const LOG_MS = 10_000

/** Counts what a command has done and says so on the standard error. */
export type Progress = { readonly onPart: OnPart; end(): void }

/** Makes the progress line of a command. */
export function createProgress(what: string, out: NodeJS.WriteStream = process.stderr): Progress {
  let rows = 0
  let blobs = 0
  let bytes = 0
  let saidAtMs = performance.now()
  const say = (end: string): void => {
    const mebibytes = (bytes / 1_048_576).toFixed(1)
    const line = `${what}: ${rows} rows, ${blobs} files of releases, ${mebibytes} MiB`
    out.write(out.isTTY ? `\r${line}${end}` : `${line}\n`)
  }
  return {
    onPart(done) {
      rows += done.rows ?? 0
      blobs += done.blobs ?? 0
      bytes += done.bytes
      if (performance.now() - saidAtMs < (out.isTTY ? TERMINAL_MS : LOG_MS)) return
      saidAtMs = performance.now()
      say('')
    },
    end: () => say('\n'),
  }
}
