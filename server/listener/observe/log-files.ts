import { type FileHandle, mkdir, open, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { AccessLogSetting } from '../../contract/access-log.ts'
import type { Logger } from '../../process/log.ts'
import { dayOf, type LogArchive } from './log-archive.ts'

/** The file that is written; rotated ones stand beside it. */
export const LOG_FILE = 'access.log'
/** Files that are kept open between writes. */
const MAX_OPEN = 128
/** Bytes of lines that may wait for the disk. */
const MAX_WAITING_BYTES = 16 * 1024 * 1024
/** How often the room on the disk is asked for. */
const ROOM_MS = 1_000
/** What logs leave free for records, blobs and others: of a disk of less than 4 GiB, a quarter. */
const RESERVE_BYTES = 1024 ** 3
/** The same in proportion, for large disks: a twentieth. */
const RESERVE_PART = 20
/** A disk that refuses is told once in this time. */
const TELL_EVERY_MS = 60_000

/** Writes the access logs of all sites of this edge; nobody else does. */
export type LogFiles = {
  /** Queues a line (without its end); dropped and counted when the disk is too slow or full. */
  append(tenantId: string, siteId: string, line: string): void
  /** Lines that were dropped. */
  readonly dropped: number
  /** Writes what waits and closes the files. */
  close(): Promise<void>
}

type Waiting = { lines: string[]; bytes: number }
type OpenFile = { readonly handle: FileHandle; bytes: number; readonly day: string; isCut: boolean }

/** Makes the writer. `folder` is made when the first line comes: `<folder>/<tenantId>/<siteId>/access.log`. */
export function createLogFiles(deps: {
  readonly folder: string
  readonly setting: () => AccessLogSetting
  readonly archive: LogArchive
  readonly log: Logger
}): LogFiles {
  const waiting = new Map<string, Waiting>()
  const files = new Map<string, OpenFile>()
  let waitingBytes = 0
  let dropped = 0
  let toldAtMs = Number.NEGATIVE_INFINITY
  let pumping: Promise<void> | null = null
  let askedAtMs = Number.NEGATIVE_INFINITY
  let isRoom = true

  /** Throws while the disk is nearly full: what visitors ask for must not take the room of what serves them. */
  const needRoom = async (): Promise<void> => {
    if (performance.now() - askedAtMs >= ROOM_MS) {
      await mkdir(deps.folder, { recursive: true, mode: 0o750 })
      isRoom = await hasRoom(deps.folder)
      askedAtMs = performance.now()
    }
    if (!isRoom) throw new Error('the disk is nearly full')
  }
  const fileOf = async (site: string): Promise<OpenFile> => {
    const known = files.get(site)
    if (known !== undefined) {
      files.delete(site)
      files.set(site, known)
      return known
    }
    for (const [oldest, file] of files) {
      if (files.size < MAX_OPEN) break
      files.delete(oldest)
      await file.handle.close()
    }
    const file = await openLog(join(deps.folder, site))
    files.set(site, file)
    return file
  }
  const forget = async (site: string): Promise<void> => {
    const file = files.get(site)
    files.delete(site)
    await file?.handle.close().catch(() => undefined)
  }
  const write = async (site: string, { lines }: Waiting): Promise<void> => {
    let file = await fileOf(site)
    if (file.bytes > 0 && (file.bytes >= deps.setting().maxBytes || file.day !== dayOf(Date.now()))) {
      await forget(site)
      await deps.archive.rotate(join(deps.folder, site))
      file = await fileOf(site)
    }
    const bytes = Buffer.from(`${file.isCut ? '\n' : ''}${lines.join('\n')}\n`)
    // A write that a full disk breaks off leaves half a line: the next one begins on a new line.
    file.isCut = true
    await file.handle.appendFile(bytes)
    file.isCut = false
    file.bytes += bytes.length
  }
  const pump = async (): Promise<void> => {
    for (let next = waiting.entries().next(); !next.done; next = waiting.entries().next()) {
      const [site, batch] = next.value
      waiting.delete(site)
      waitingBytes -= batch.bytes
      try {
        await needRoom()
        await write(site, batch)
      } catch (error) {
        dropped += batch.lines.length
        if (!files.get(site)?.isCut) await forget(site)
        tell(error)
      }
    }
    pumping = null
  }
  const tell = (error: unknown): void => {
    if (performance.now() - toldAtMs < TELL_EVERY_MS) return
    toldAtMs = performance.now()
    deps.log.warn({ err: error, dropped }, 'access logs cannot be written; sites are served, lines are dropped')
  }
  return {
    append(tenantId, siteId, line) {
      const site = `${tenantId}/${siteId}`
      if (waitingBytes + line.length > MAX_WAITING_BYTES) {
        dropped += 1
        return
      }
      const batch = waiting.get(site) ?? { lines: [], bytes: 0 }
      waiting.set(site, batch)
      batch.lines.push(line)
      batch.bytes += line.length
      waitingBytes += line.length
      pumping ??= Promise.resolve().then(pump)
    },
    get dropped() {
      return dropped
    },
    async close() {
      await pumping
      for (const site of [...files.keys()]) await forget(site)
    },
  }
}

/** Whether more is free than what is left to others. */
async function hasRoom(folder: string): Promise<boolean> {
  const { bavail, blocks, bsize } = await statfs(folder)
  const total = blocks * bsize
  return bavail * bsize >= Math.min(Math.max(RESERVE_BYTES, total / RESERVE_PART), total / 4)
}

async function openLog(folder: string): Promise<OpenFile> {
  await mkdir(folder, { recursive: true, mode: 0o750 })
  const handle = await open(join(folder, LOG_FILE), 'a', 0o640)
  const { size, mtimeMs } = await handle.stat()
  return { handle, bytes: size, day: dayOf(size === 0 ? Date.now() : mtimeMs), isCut: false }
}
