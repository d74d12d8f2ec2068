import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { replaceFile } from './replace-file.ts'
import type { Bind } from './worker-messages.ts'

const FILE = 'workers.json'

/** A worker that may outlive its supervisor. `startTicks` tells it from a later process with the same pid. */
type Tracked = { readonly pid: number; readonly startTicks: string }
type Roster = { readonly workers: readonly Tracked[]; readonly binds: readonly Bind[] }

/** The workers that a killed supervisor left behind, and what they are bound to. */
export type Orphans = {
  /** Whether one of them holds this bind: a probe of the port would take it for a foreign program. */
  hold(bind: Bind): boolean
  readonly count: number
  /** Waits until all are gone, at most `timeoutMs`. */
  gone(timeoutMs: number): Promise<boolean>
}

/** Writes down who the workers are, for the next supervisor. Call it whenever they change. */
export function trackWorkers(edgeFolder: string, pids: readonly number[], binds: readonly Bind[]): void {
  const workers = pids.flatMap((pid) => {
    const startTicks = startTicksOf(pid)
    return startTicks === null ? [] : [{ pid, startTicks }]
  })
  replaceFile(join(edgeFolder, FILE), JSON.stringify({ workers, binds } satisfies Roster), 0o600)
}

/** Reads who was written down and is still alive. A missing or broken file means nobody. */
export function findOrphans(edgeFolder: string): Orphans {
  const roster = readRoster(join(edgeFolder, FILE))
  const alive = (): Tracked[] => roster.workers.filter((worker) => startTicksOf(worker.pid) === worker.startTicks)
  const found = alive()
  return {
    count: found.length,
    hold: (bind) =>
      found.length > 0 && roster.binds.some((held) => held.address === bind.address && held.port === bind.port),
    async gone(timeoutMs) {
      const deadline = Date.now() + timeoutMs
      while (alive().length > 0 && Date.now() < deadline) await sleep(50)
      return alive().length === 0
    },
  }
}

function readRoster(file: string): Roster {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Roster
  } catch {
    return { workers: [], binds: [] }
  }
}

/** Field 22 of /proc/<pid>/stat (proc(5)); null when there is no such process or it is a zombie. */
function startTicksOf(pid: number): string | null {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
    return fields[0] === 'Z' ? null : (fields[19] ?? null)
  } catch {
    return null
  }
}
