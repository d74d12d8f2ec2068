import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** A process as /proc tells of it. */
export type ProcessEntry = { readonly pid: number; readonly parent: number; readonly command: string }

/** All processes of this machine that can be read. */
export function processes(): ProcessEntry[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
        const command = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ')
        const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
        return state === 'Z' ? [] : [{ pid: Number(name), parent: Number(parent), command }]
      } catch {
        return []
      }
    })
}

/** A process's children, their children, and so on. */
export function descendants(pid: number): ProcessEntry[] {
  const all = processes()
  const found: ProcessEntry[] = []
  const queue = [pid]
  for (let parent = queue.shift(); parent !== undefined; parent = queue.shift()) {
    const children = all.filter((entry) => entry.parent === parent)
    found.push(...children)
    queue.push(...children.map((child) => child.pid))
  }
  return found
}

/** Kills a process and all below it by SIGKILL at once, as a power cut would, and waits until they are gone. */
export async function killTree(pid: number): Promise<void> {
  const pids = [pid, ...descendants(pid).map((entry) => entry.pid)]
  for (const each of pids) {
    try {
      process.kill(each, 'SIGKILL')
    } catch {}
  }
  while (processes().some((entry) => pids.includes(entry.pid))) await sleep(10)
}
