import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { replaceFile } from '../process/replace-file.ts'
import type { Bind } from './worker-messages.ts'

const FILE = 'workers.json'

/** A worker that may outlive its supervisor. `startTicks` tells it from a later process with the same pid. */
type Tracked = { readonly pid: number; readonly startTicks: string }
/** Workers, and the ports that they were told to bind. */
type Roster = { readonly workers: readonly Tracked[]; readonly binds: readonly Bind[] }

/** The workers that a killed supervisor left behind, and what they are bound to. */
export type Orphans = {
  /** Whether one of them holds this bind: a probe of the port would take it for a foreign program. */
  hold(bind: Bind): boolean
  /** Those that are alive now. */
  left(): Roster
  /** Asks them to let their connections finish and end, when they are in the way; or ends them at once. */
  end(signal?: 'SIGTERM' | 'SIGKILL'): void
  /** Waits until all are gone, at most `timeoutMs`. */
  gone(timeoutMs: number): Promise<boolean>
}

/**
 * Writes down who the workers are, for the next supervisor. Call it whenever they change. Orphans that
 * are still there stay written down: their successor may be killed before they have ended.
 */
export function trackWorkers(
  edgeFolder: string,
  pids: readonly number[],
  binds: readonly Bind[],
  orphans: Orphans,
): void {
  const own = pids.flatMap((pid) => {
    const startTicks = startTicksOf(pid)
    return startTicks === null ? [] : [{ pid, startTicks }]
  })
  const left = orphans.left()
  const roster: Roster = { workers: [...own, ...left.workers], binds: [...binds, ...left.binds] }
  replaceFile(join(edgeFolder, FILE), JSON.stringify(roster), 0o600)
}

/**
 * Reads who was written down and is still alive, those of `except` left out: they have a supervisor. A
 * missing or broken file means nobody.
 */
export function findOrphans(edgeFolder: string, except: readonly number[] = []): Orphans {
  const read = readRoster(join(edgeFolder, FILE))
  const roster = { ...read, workers: read.workers.filter(({ pid }) => !except.includes(pid)) }
  const alive = (): Tracked[] => roster.workers.filter((worker) => startTicksOf(worker.pid) === worker.startTicks)
  const left = (): Roster => {
    const workers = alive()
    return { workers, binds: workers.length > 0 ? roster.binds : [] }
  }
  return {
    left,
    hold: (bind) => left().binds.some((held) => held.address === bind.address && held.port === bind.port),
    end(signal = 'SIGTERM') {
      for (const { pid } of alive()) {
        try {
          process.kill(pid, signal)
        } catch {
          // It has ended meanwhile.
        }
      }
    },
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
