import { parseArgs } from 'node:util'
import type { Runtime } from '../server/listener/worker-command.ts'

/** What a run of the bench was asked for. */
export type Options = {
  readonly json: string | null
  readonly plot: string | null
  /** Names of rows; null: all. */
  readonly only: readonly string[] | null
  readonly rounds: number
  readonly seconds: number
  /** Load on each server before the first round of a row, in seconds. */
  readonly warm: number
  readonly runtimes: readonly Runtime[]
  /** `full`: peers are measured with 100,000 names too (3 minutes of CPU and 4 GB each). */
  readonly scale: 'default' | 'full'
  /** Names of the rows about many of them; a tenth of the largest number. */
  readonly sites: number
  readonly profile: string | null
  readonly isHelp: boolean
}

/** What `npm run bench -- --help` prints; `rows` are the rows with what each measures. */
export function helpText(rows: readonly { name: string; title: string }[]): string {
  return `npm run bench [-- OPTIONS]
  --only ROW[,ROW]   only these rows
  --rounds N         rounds that count (8)
  --seconds S        length of a round of one server (1)
  --warm S           load on each server before the first round of a row, in seconds (10)
  --runtime R[,R]    runtimes of our workers: bun, node (both)
  --scale full       nginx, HAProxy and Caddy with 100,000 names too: 3 minutes of CPU and 4 GB each
  --sites N          names of the rows about many of them (100000; own-scale goes to ten times that)
  --json FILE        writes all figures
  --plot FILE        draws the comparison as an SVG
  --profile ROW      no comparison: where our worker spends its time in that row
rows:
${rows.map(({ name, title }) => `  ${name.padEnd(20)} ${title}`).join('\n')}
`
}

/** Reads the command line. Throws an `Error` with one line. */
export function readOptions(args: readonly string[], rowNames: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      json: { type: 'string' },
      plot: { type: 'string' },
      only: { type: 'string' },
      rounds: { type: 'string', default: '8' },
      seconds: { type: 'string', default: '1' },
      warm: { type: 'string', default: '10' },
      runtime: { type: 'string', default: 'bun,node' },
      scale: { type: 'string', default: 'default' },
      sites: { type: 'string', default: '100000' },
      profile: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  const only = values.only === undefined ? null : list('--only', values.only, rowNames)
  const profile = values.profile === undefined ? null : (list('--profile', values.profile, rowNames)[0] ?? null)
  const [scale = 'default'] = list('--scale', values.scale, ['default', 'full'])
  return {
    json: values.json ?? null,
    plot: values.plot ?? null,
    only,
    rounds: number('--rounds', values.rounds, 1, 1_000, Number.isInteger),
    seconds: number('--seconds', values.seconds, 0.2, 600),
    warm: number('--warm', values.warm, 0, 600),
    runtimes: list('--runtime', values.runtime, ['bun', 'node']) as Runtime[],
    scale: scale as Options['scale'],
    sites: number('--sites', values.sites, 100, 1_000_000, Number.isInteger),
    profile,
    isHelp: values.help,
  }
}

function list(option: string, text: string, known: readonly string[]): string[] {
  const names = text.split(',').filter((name) => name !== '')
  const unknown = names.find((name) => !known.includes(name))
  if (unknown !== undefined || names.length === 0)
    throw new Error(`${option}: ${unknown ?? 'nothing'} is none of ${known.join(', ')}`)
  return names
}

function number(option: string, text: string, least: number, most: number, is = Number.isFinite): number {
  const value = Number(text)
  if (is(value) && value >= least && value <= most) return value
  throw new Error(`${option}: a number from ${least} to ${most}, not "${text}"`)
}
