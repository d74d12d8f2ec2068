import { execFileSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'

/** Mounts a real file system of so many KiB on a folder until disposed; null where that is not permitted (needs root). */
export function mountSmallDisk(folder: string, kib: number): Disposable | null {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${kib}k`, 'tmpfs', folder], { stdio: 'ignore' })
  } catch {
    return null
  }
  return { [Symbol.dispose]: () => void execFileSync('umount', [folder]) }
}

/** Fails as a write on a full disk does, with the kernel's own ENOSPC. For where nothing can be mounted. */
export async function writeToFullDevice(): Promise<never> {
  await writeFile('/dev/full', 'x')
  throw new Error('/dev/full took a write')
}
