import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { OperatorError } from '../../process/operator-error.ts'
import { refuseHalfRestore } from '../../process/restore-marker.ts'
import type { Settings } from '../../process/settings.ts'
import { stopRequest } from '../../process/stop-request.ts'
import { ownVersion } from '../../process/version.ts'
import { withDatabase } from '../../process/with-database.ts'
import { createBlobStore } from '../sites/blobs.ts'
import { writeArchive } from './archive-writer.ts'
import { writeBackup } from './backup.ts'
import { openOutput } from './output.ts'
import { createProgress } from './progress.ts'
import { rekey } from './rekey.ts'
import { restore } from './restore.ts'

/** Exit codes besides 0 and 1 (failed): wrong use, and a backup that was written without some content. */
const USAGE = 2
const INCOMPLETE = 3

/** The verbs of this folder, with their usage. */
export const usages = {
  backup: 'nameplate backup FILE [--with-master-key]',
  restore: 'nameplate restore FILE [--master-key FILE] [--keep-sessions]',
  rekey: 'nameplate rekey [--new-key FILE] [--start-over]',
} as const

/** Runs a verb with its arguments; returns the exit code. Throws `OperatorError`. */
export async function runVerb(verb: keyof typeof usages, args: readonly string[], settings: Settings): Promise<number> {
  try {
    return await { backup: runBackup, restore: runRestore, rekey: runRekey }[verb](args, settings)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS') !== true) throw error
    say(`${(error as Error).message}\nusage: ${usages[verb]}`)
    return USAGE
  }
}

function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

async function runBackup(args: readonly string[], settings: Settings): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { 'with-master-key': { type: 'boolean', default: false } },
  })
  const [file] = positionals
  if (file === undefined || positionals.length > 1) return usage('backup')
  refuseHalfRestore(settings.dataDir)
  const withMasterKey = values['with-master-key']
  const { dataDir, masterKeyFile } = settings
  const output = openOutput(file)
  const archive = writeArchive(output.stream)
  const progress = createProgress('backup')
  const stopped = stopRequest().then(() => Promise.reject(new OperatorError('stopped: no backup was written')))
  stopped.catch(() => undefined)
  try {
    const manifest = await withDatabase(settings, { isAlone: false }, (databaseUrl) => {
      const source = {
        databaseUrl,
        masterKeyFile,
        blobs: createBlobStore(join(dataDir, 'blobs')),
        version: ownVersion(),
      }
      return Promise.race([writeBackup(source, archive, { withMasterKey, onPart: progress.onPart }), stopped])
    })
    await output.keep()
    progress.end()
    say(
      withMasterKey
        ? 'The master key is IN this backup: whoever has it can use every private key. Keep it as you would the key itself.'
        : `The master key is not in it: keep ${masterKeyFile} apart from the backup. One is of no use without the other.`,
    )
    for (const { digest, reason } of manifest.missing)
      say(`warning: content ${digest} is ${reason}; the backup is without it`)
    return manifest.missing.length === 0 ? 0 : INCOMPLETE
  } catch (error) {
    await archive.destroy()
    output.discard()
    throw error
  }
}

async function runRestore(args: readonly string[], settings: Settings): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { 'master-key': { type: 'string' }, 'keep-sessions': { type: 'boolean', default: false } },
  })
  const [file] = positionals
  if (file === undefined || positionals.length > 1) return usage('restore')
  const progress = createProgress('restore')
  const { header, manifest } = await restore(settings, {
    file,
    masterKeyFile: values['master-key'] ?? null,
    keepSessions: values['keep-sessions'],
    onPart: progress.onPart,
  })
  progress.end()
  for (const { digest, reason } of manifest.missing)
    say(`warning: content ${digest} was ${reason} when the backup was made`)
  say(`Restored what was there at ${header.createdAt}. Start Nameplate; edges take everything anew by themselves.`)
  return 0
}

async function runRekey(args: readonly string[], settings: Settings): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: { 'new-key': { type: 'string' }, 'start-over': { type: 'boolean', default: false } },
  })
  refuseHalfRestore(settings.dataDir)
  const { masterKeyFile } = settings
  const { oldFile } = await withDatabase(settings, { isAlone: false }, (databaseUrl) =>
    rekey({
      databaseUrl,
      masterKeyFile,
      newKeyFile: values['new-key'] ?? null,
      isStartOver: values['start-over'],
      say,
    }),
  )
  say(`${masterKeyFile} is the new master key. Copy it to every other control plane's machine before its next start.`)
  say(
    `The old key opens nothing any more in this database. It is kept as ${oldFile}: backups from before this moment need it. Destroy it when you need none of them.`,
  )
  return 0
}

function usage(verb: keyof typeof usages): number {
  say(`usage: ${usages[verb]}`)
  return USAGE
}
