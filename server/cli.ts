import { complaintOf } from './process/operator-error.ts'
import { environmentWithFile, readSettings, type Settings } from './process/settings.ts'
import { type Plane, type Running, startPlanes } from './process/start.ts'
import { stopRequest } from './process/stop-request.ts'
import { requestUpgrade } from './process/upgrade-socket.ts'

/** The `nameplate` command. Each command is one line of this table. */
const commands: Record<string, { readonly planes: readonly Plane[]; readonly what: string }> = {
  start: { planes: ['control', 'listener'], what: 'run the control plane and the listener under one parent' },
  control: { planes: ['control'], what: 'run the control plane alone' },
  listener: { planes: ['listener'], what: 'run the listener alone' },
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

/** Verbs that end by themselves; what they need is loaded for them alone. */
const verbs = {
  backup: 'write everything but the master key into one file, while everything runs',
  restore: 'fill an empty data directory and database from a backup',
  rekey: 'change the master key, while everything runs',
} as const

const upgradeHelp =
  'replace the running listener by the version on disk, and refuse nobody; --workers: its workers alone'

function help(): string {
  const all = [
    ...Object.entries(commands).map(([name, { what }]) => [name, what]),
    ['upgrade', upgradeHelp],
    ...Object.entries(verbs),
  ]
  const lines = all.map(([name = '', what]) => `  ${name.padEnd(10)} ${what}`)
  return [
    'usage: nameplate <command>',
    '',
    ...lines,
    '',
    'Settings come from the environment or a .env file: see README.md.',
  ].join('\n')
}

function banner(settings: Settings, running: Running): string {
  const { control, listener } = running
  const rows: [string, string][] = []
  if (control !== null) rows.push(['UI', control.uiUrl])
  if (control?.setupUrl) rows.push(['Set-up', `${control.setupUrl}  (once, within 24 hours)`])
  if (listener !== null) {
    rows.push(['HTTPS', `${listener.https.join(', ')}  (${listener.workers} workers on ${listener.runtime})`])
    rows.push(['HTTP', listener.http.join(', ')])
  }
  rows.push(['Data', settings.dataDir])
  return [
    '',
    'Nameplate is running.',
    '',
    ...rows.map(([name, value]) => `  ${name.padEnd(8)}${value}`),
    '',
    'Stop it with Ctrl+C.',
    '',
  ].join('\n')
}

async function upgrade(args: readonly string[]): Promise<number> {
  const [option] = args
  if (args.length > 1 || (option !== undefined && option !== '--workers')) {
    print('usage: nameplate upgrade [--workers]')
    return 2
  }
  const { dataDir } = readSettings(environmentWithFile(process.env) as NodeJS.ProcessEnv)
  print(await requestUpgrade(dataDir, option === undefined ? 'listener' : 'workers'))
  return 0
}

async function runVerb(verb: keyof typeof verbs, args: readonly string[]): Promise<number> {
  const settings = readSettings(environmentWithFile(process.env) as NodeJS.ProcessEnv)
  const command = await import('./control/backup/command.ts')
  return command.runVerb(verb, args, settings)
}

async function main(name: string | undefined, args: readonly string[]): Promise<number> {
  if (name === 'upgrade') return upgrade(args)
  if (name !== undefined && Object.hasOwn(verbs, name)) return runVerb(name as keyof typeof verbs, args)
  const command = name !== undefined && Object.hasOwn(commands, name) ? commands[name] : undefined
  if (command === undefined) {
    const isHelp = name === undefined || name === 'help' || name === '--help'
    print(isHelp ? help() : `nameplate: there is no command "${name}"\n\n${help()}`)
    return isHelp ? 0 : 2
  }
  const env = environmentWithFile(process.env) as NodeJS.ProcessEnv
  const settings = readSettings(env)
  const asked = stopRequest()
  const starting = startPlanes(settings, command.planes, env)
  const running = await Promise.race([starting, asked.then(() => null)])
  if (running !== null) {
    print(banner(settings, running))
    await asked
  }
  await (await starting).stop()
  return 0
}

try {
  process.exit(await main(process.argv[2], process.argv.slice(3)))
} catch (error) {
  process.stderr.write(`nameplate: ${complaintOf(error)}\n`)
  process.exit(1)
}
