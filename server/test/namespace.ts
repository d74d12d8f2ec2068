import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { run } from './visit.ts'

/** All of it is local in a namespace of `inNamespace`. */
export const LOCAL_IPV6 = 'fd00:1::/64'

const setUp = `ip link set lo up && ip -6 route add local ${LOCAL_IPV6} dev lo && exec "$@"`

/** Whether this account may make network namespaces here (root, and not in every container). */
export function hasNamespaces(): boolean {
  return spawnSync('unshare', ['-n', 'sh', '-c', setUp, 'sh', 'true'], { stdio: 'ignore' }).status === 0
}

/**
 * Runs a module of this folder in a network namespace of its own, which has loopback alone and the kernel's default
 * settings, and gives what it printed, as JSON. Throws what it said where that is none.
 */
export async function inNamespace(module: string, args: readonly string[], timeoutMs = 150_000): Promise<unknown> {
  const command = [process.execPath, fileURLToPath(new URL(module, import.meta.url)), ...args]
  const { stdout, stderr } = await run('unshare', ['-n', 'sh', '-c', setUp, 'sh', ...command], '', timeoutMs)
  try {
    return JSON.parse(stdout)
  } catch {
    throw new Error(`${module} gave no answer: ${stdout}${stderr}`)
  }
}
