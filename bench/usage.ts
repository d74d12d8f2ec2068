import { readdirSync, readFileSync } from 'node:fs'

/** Memory of some processes together, in MB (10^6 bytes). `pssMb` counts shared pages once. */
export type Memory = { readonly pssMb: number; readonly rssMb: number }

/**
 * Processor time that the processes have used, all their threads, in seconds: the first number of
 * /proc/<pid>/task/<tid>/schedstat, in nanoseconds. What a thread used that has ended is not in it.
 */
export function cpuSeconds(pids: readonly number[]): number {
  let nanoseconds = 0
  for (const pid of pids) {
    for (const thread of readdirSync(`/proc/${pid}/task`)) nanoseconds += threadNanoseconds(pid, thread)
  }
  return nanoseconds / 1e9
}

function threadNanoseconds(pid: number, thread: string): number {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0])
  } catch {
    return 0
  }
}

/** The memory of processes now, from /proc/<pid>/smaps_rollup. */
export function memoryOf(pids: readonly number[]): Memory {
  const texts = pids.map((pid) => readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))
  const sum = (field: string): number => texts.reduce((total, text) => total + kibibytesOf(text, field), 0)
  const megabytes = (kibibytes: number): number => Math.round((kibibytes * 1_024) / 1e5) / 10
  return { pssMb: megabytes(sum('Pss')), rssMb: megabytes(sum('Rss')) }
}

/** The value of a field of a smaps text, in KiB; 0 where it is missing. */
export function kibibytesOf(text: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0)
}
