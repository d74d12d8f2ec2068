import { createReadStream, createWriteStream, type Dirent, type Stats } from 'node:fs'
import { readdir, rename, rm, rmdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import type { AccessLogSetting } from '../../contract/access-log.ts'
import type { Logger } from '../../process/log.ts'

/** `access-<day>-<time>-<pid>-<number>.log`, and `.gz` when it is compressed. Two supervisors may rotate in one second. */
const ROTATED = /^access-\d{8}-\d{6}-\d+-\d+\.log(\.gz)?$/
/** What a killed process left of a compression. */
const UNFINISHED = /^access-.*\.gz\.part$/
const DAY_MS = 86_400_000
/** How often old files are looked for. */
const SWEEP_MS = DAY_MS / 4

/** Rotated files: compressed one after the other in the background, deleted when they are old. */
export type LogArchive = {
  /** Sets `access.log` of a site's folder aside. Nobody may have it open for writing. */
  rotate(siteFolder: string): Promise<void>
  /** Deletes what is too old or too much in all folders, and compresses what was left. */
  sweep(): Promise<void>
  /** Resolves when nothing is being compressed. */
  idle(): Promise<void>
  close(): Promise<void>
}

/** The day of a moment, UTC: `20261125`. */
export function dayOf(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 10).replaceAll('-', '')
}

/**
 * Makes the archive of the logs below `root`; sweeps by itself four times a day. Rotated files go after
 * `retentionDays`, and the oldest of a site as soon as they have more than `maxSiteBytes` together.
 */
export function createLogArchive(deps: {
  readonly root: string
  readonly setting: () => Pick<AccessLogSetting, 'retentionDays' | 'maxSiteBytes'>
  readonly log: Logger
}): LogArchive {
  const queued = new Set<string>()
  let isClosed = false
  let number = 0
  let work: Promise<void> = Promise.resolve()

  const later = (file: string): void => {
    if (queued.has(file)) return
    queued.add(file)
    work = work.then(async () => {
      try {
        if (!isClosed) await compress(file)
        if (!isClosed) await trim(dirname(file), deps.setting().maxSiteBytes)
      } catch (err) {
        deps.log.warn({ err, file }, 'a log was not compressed')
      }
      queued.delete(file)
    })
  }
  const sweep = async (): Promise<void> => {
    const { retentionDays, maxSiteBytes } = deps.setting()
    const oldest = Date.now() - retentionDays * DAY_MS
    for (const tenant of await entriesOf(deps.root))
      for (const site of tenant.isDirectory() ? await entriesOf(join(deps.root, tenant.name)) : []) {
        if (isClosed) return
        const folder = join(deps.root, tenant.name, site.name)
        await sweepSite(folder, oldest, later)
        await trim(folder, maxSiteBytes)
        // A site without logs that are kept leaves no folder.
        await rmdir(folder).catch(() => undefined)
      }
  }
  const tick = (): void => void sweep().catch((err) => deps.log.warn({ err }, 'old access logs were not deleted'))
  const timer = setInterval(tick, SWEEP_MS).unref()
  return {
    async rotate(siteFolder) {
      number += 1
      const now = new Date().toISOString().replaceAll(/[-:]/g, '')
      const name = `access-${now.slice(0, 8)}-${now.slice(9, 15)}-${process.pid}-${number}.log`
      try {
        await rename(join(siteFolder, 'access.log'), join(siteFolder, name))
      } catch (error) {
        // Somebody has taken it away: there is nothing to set aside.
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
        throw error
      }
      later(join(siteFolder, name))
    },
    sweep,
    idle: () => work,
    async close() {
      isClosed = true
      clearInterval(timer)
      await work
    },
  }
}

async function sweepSite(folder: string, oldest: number, compressLater: (file: string) => void): Promise<void> {
  for (const { name } of await entriesOf(folder)) {
    const file = join(folder, name)
    const status = await statusOf(file)
    if (status === null) continue
    const { mtimeMs } = status
    if (mtimeMs < oldest && (ROTATED.test(name) || name === 'access.log')) await rm(file, { force: true })
    else if (UNFINISHED.test(name) && mtimeMs < Date.now() - DAY_MS) await rm(file, { force: true })
    else if (ROTATED.test(name) && !name.endsWith('.gz')) compressLater(file)
  }
}

/** Deletes the oldest rotated files until the others have at most `maxBytes` together. */
async function trim(folder: string, maxBytes: number): Promise<void> {
  const names = (await entriesOf(folder)).map(({ name }) => name).filter((name) => ROTATED.test(name))
  let bytes = 0
  for (const name of names.sort().reverse()) {
    bytes += (await statusOf(join(folder, name)))?.size ?? 0
    if (bytes > maxBytes) await rm(join(folder, name), { force: true })
  }
}

/** Null where the file is gone: compressed, or deleted by another supervisor or by hand. */
async function statusOf(file: string): Promise<Stats | null> {
  try {
    return await stat(file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

async function entriesOf(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw error
  }
}

/** Killed anywhere, the file itself is still there. One that is gone meanwhile needs nothing. */
async function compress(file: string): Promise<void> {
  if ((await statusOf(file)) === null) return
  const part = `${file}.${process.pid}.gz.part`
  try {
    await pipeline(createReadStream(file), createGzip(), createWriteStream(part, { mode: 0o640 }))
    await rename(part, `${file}.gz`)
    await rm(file, { force: true })
  } catch (error) {
    await rm(part, { force: true })
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}
