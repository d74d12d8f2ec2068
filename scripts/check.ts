import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'

/**
 * `npm run check`: format, lint, types, layers, dead code, migrations, budgets, lockfile. Prints a line
 * for each; exits 1 when one fails. A check that looked at nothing has failed. `--only NAME` runs one.
 */
type Result = { readonly looked: number; readonly isClean: boolean; readonly output: string }
type Check = { readonly name: string; readonly run: () => Result }

const MOST_LINES = 350
/** A suite reads top-down and may be longer. */
const MOST_TEST_LINES = 500
const generated = /server\/control\/generated\//

function tool(args: readonly string[], env: NodeJS.ProcessEnv = {}): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, args, {
    encoding: 'utf8',
    maxBuffer: 64e6,
    env: { ...process.env, NO_COLOR: '1', ...env },
  })
}

function everything(result: SpawnSyncReturns<string>): string {
  return `${result.stdout}${result.stderr}`.trim()
}

function count(pattern: RegExp, text: string): number {
  return Number(pattern.exec(text)?.[1] ?? 0)
}

function sources(): string[] {
  const patterns = ['server/**/*.ts', 'scripts/**/*.{ts,mjs}', 'bench/**/*.ts', 'web/src/**/*.{ts,svelte}']
  return globSync(patterns).filter((file) => !generated.test(file))
}

function format(): Result {
  const result = tool(['node_modules/@biomejs/biome/bin/biome', 'ci', '--colors=off', '--error-on-warnings'])
  const output = everything(result)
  return { looked: count(/Checked (\d+) files/, output), isClean: result.status === 0, output }
}

function types(): Result {
  const result = tool(['node_modules/@typescript/native/bin/tsc', '-p', '.', '--pretty', 'false', '--listFiles'])
  const lines = everything(result).split('\n')
  const own = lines.filter((line) => /\/(server|scripts|bench)\/.*\.ts$/.test(line) && !line.includes('/node_modules/'))
  const errors = lines.filter((line) => /error TS\d+/.test(line))
  return { looked: own.length, isClean: result.status === 0, output: errors.join('\n') }
}

function webTypes(): Result {
  const sync = spawnSync(process.execPath, ['../node_modules/@sveltejs/kit/svelte-kit.js', 'sync'], {
    cwd: 'web',
    encoding: 'utf8',
  })
  if (sync.status !== 0) return { looked: 0, isClean: false, output: everything(sync) }
  const args = ['../node_modules/svelte-check/bin/svelte-check', '--output', 'machine', '--fail-on-warnings']
  const result = spawnSync(process.execPath, args, { cwd: 'web', encoding: 'utf8' })
  const output = everything(result)
  return { looked: count(/COMPLETED (\d+) FILES/, output), isClean: result.status === 0, output }
}

function layers(): Result {
  const cruiser = 'node_modules/dependency-cruiser/bin/dependency-cruiser.mjs'
  const result = tool([cruiser, 'server', 'scripts', '--config', '.dependency-cruiser.mjs', '--output-type', 'err'])
  const output = everything(result)
  return { looked: count(/(\d+) modules/, output), isClean: result.status === 0, output }
}

function deadCode(): Result {
  const result = tool(['node_modules/knip/bin/knip.js', '--no-progress'])
  return { looked: sources().length, isClean: result.status === 0, output: everything(result) }
}

function migrations(): Result {
  const result = tool(['--no-warnings', 'scripts/schema-diff.ts'])
  const output = everything(result)
  return {
    looked: count(/agree: (\d+)/, output) || (result.status === 0 ? 0 : 1),
    isClean: result.status === 0,
    output,
  }
}

/** Files stay readable, and everything exported from the server says what it promises. */
function budgets(): Result {
  const files = sources()
  const problems = files.flatMap((file) => {
    const lines = readFileSync(file, 'utf8').split('\n')
    const most = file.endsWith('.test.ts') ? MOST_TEST_LINES : MOST_LINES
    const long = lines.length > most ? [`${file}: ${lines.length} lines; the budget is ${most}`] : []
    return [...long, ...undocumented(file, lines)]
  })
  return { looked: files.length, isClean: problems.length === 0, output: problems.join('\n') }
}

function undocumented(file: string, lines: readonly string[]): string[] {
  if (!/^server\/(contract|process|control|listener)\//.test(file) || file.endsWith('.test.ts')) return []
  return lines.flatMap((line, index) => {
    if (!/^export (async function|function|const|class|type(?! \{)|interface) /.test(line)) return []
    const before = lines[index - 1]?.trim() ?? ''
    // One docstring may stand above a group: constants in a row, or a schema and the type that it has.
    const isGrouped = /^export (const|type)/.test(line) && /^(export|\))/.test(before)
    if (before.endsWith('*/') || isGrouped) return []
    return [`${file}:${index + 1}: exported without a docstring: ${line.slice(0, 80)}`]
  })
}

/** The lockfile installs as it is: platform packages that a mirror lacks break `npm ci` only. */
function lockfile(): Result {
  const result = spawnSync('npm', ['ci', '--dry-run', '--no-audit', '--no-fund'], { encoding: 'utf8' })
  const packages = Object.keys(JSON.parse(readFileSync('package-lock.json', 'utf8')).packages ?? {})
  return { looked: packages.length, isClean: result.status === 0, output: everything(result) }
}

const checks: readonly Check[] = [
  { name: 'format', run: format },
  { name: 'types', run: types },
  { name: 'web-types', run: webTypes },
  { name: 'layers', run: layers },
  { name: 'dead-code', run: deadCode },
  { name: 'migrations', run: migrations },
  { name: 'budgets', run: budgets },
  { name: 'lockfile', run: lockfile },
]

const onlyAt = process.argv.indexOf('--only')
const only = onlyAt < 0 ? null : process.argv[onlyAt + 1]
const chosen = checks.filter((check) => only === null || check.name === only)
if (chosen.length === 0) {
  console.error(`there is no check "${only}": ${checks.map((check) => check.name).join(', ')}`)
  process.exit(2)
}
let failures = 0
for (const check of chosen) {
  const { looked, isClean, output } = check.run()
  const isOk = isClean && looked > 0
  if (!isOk) failures += 1
  if (!isClean) console.error(output)
  const word = isOk ? 'ok  ' : 'FAIL'
  console.log(
    `${word} ${check.name.padEnd(10)} ${looked === 0 ? 'looked at nothing: that is a failure' : `${looked} looked at`}`,
  )
}
console.log(
  failures === 0 ? `${basename(process.cwd())}: all checks are clean` : `${failures} of ${chosen.length} checks failed`,
)
process.exit(failures === 0 ? 0 : 1)
