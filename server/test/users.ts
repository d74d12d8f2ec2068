import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { descendants } from './process-tree.ts'
import { run } from './visit.ts'

/** A user of the machine that has no entry in its list: processes and files need the number alone. */
export type TestUser = { readonly uid: number; readonly groups: readonly number[] }

/** Numbers that no distribution gives away: above ordinary users, below `nobody`. */
export const testUid = { control: 61_101, listener: 61_102, stranger: 61_103 } as const

/** Throws one clear line where we may not become another user. */
export function requireRoot(): void {
  if (process.geteuid?.() === 0) return
  throw new Error('this suite runs processes as users of their own: run it as root')
}

/** The number of a group of this machine. */
export function groupNumber(name: string): number {
  return Number(execFileSync('getent', ['group', name], { encoding: 'utf8' }).split(':')[2])
}

/** The command that becomes that user, with these capabilities (`net_bind_service`) and no others. */
export function asUser(user: TestUser, capabilities: readonly string[] = []): string[] {
  const groups = user.groups.length === 0 ? '--clear-groups' : `--groups=${user.groups.join(',')}`
  const list = capabilities.map((name) => `+${name}`).join(',')
  const given = list === '' ? [] : [`--inh-caps=${list}`, `--ambient-caps=${list}`]
  return ['setpriv', `--reuid=${user.uid}`, `--regid=${user.uid}`, groups, ...given]
}

/** Whether that user may read a file. */
export function canRead(user: TestUser, file: string): Promise<boolean> {
  return passes(user, '-r', file)
}

/** Whether that user may connect to a Unix socket: the kernel asks for the right to write (unix(7)). */
export function canConnect(user: TestUser, socket: string): Promise<boolean> {
  return passes(user, '-w', socket)
}

async function passes(user: TestUser, check: string, file: string): Promise<boolean> {
  const [command = '', ...args] = asUser(user)
  return (await run(command, [...args, 'test', check, file])).code === 0
}

/** What a checkout in a folder that is closed to others needs besides: the right to pass and read. */
export async function capabilitiesToRead(user: TestUser): Promise<string[]> {
  const isOpen = (await canRead(user, process.execPath)) && (await canRead(user, import.meta.filename))
  return isOpen ? [] : ['dac_read_search']
}

/** Who a process and all below it are: their effective users and capabilities, from /proc. */
export function identities(pid: number): { uids: number[]; capabilities: string[] } {
  const status = [pid, ...descendants(pid).map((entry) => entry.pid)].map((each) =>
    readFileSync(`/proc/${each}/status`, 'utf8'),
  )
  const pick = (pattern: RegExp): string[] => [...new Set(status.map((text) => pattern.exec(text)?.[1] ?? ''))]
  return { uids: pick(/^Uid:\s+\d+\s+(\d+)/m).map(Number), capabilities: pick(/^CapEff:\s+(\w+)/m) }
}

/** A port below 1024 that is free on this address now. */
export async function freeLowPort(address: string, except: readonly number[] = []): Promise<number> {
  for (let port = 1023; port > 600; port -= 1) {
    if (!except.includes(port) && (await isFree(address, port))) return port
  }
  throw new Error(`no port below 1024 is free on ${address}`)
}

function isFree(address: string, port: number): Promise<boolean> {
  const server = createServer()
  return new Promise((resolve) => {
    server.once('error', () => resolve(false))
    server.listen(port, address, () => server.close(() => resolve(true)))
  })
}
