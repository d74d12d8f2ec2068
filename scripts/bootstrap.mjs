// Entry of every npm script. Runs on the machine's own Node (20 or newer), brings the checkout to a
// state in which the pinned Node can run it, and then hands over to that. Needs nothing installed.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const stamps = join(root, 'node_modules', '.nameplate')
const web = join(root, 'web')

/** What each command needs before it runs, and what runs then. */
const commands = {
  start: { needs: [generateClient, buildUi], run: ['server/cli.ts', 'start'] },
  dev: { needs: [generateClient], run: ['scripts/dev.ts'] },
  test: { needs: [generateClient, buildUi], run: ['scripts/test.ts'] },
  'test:long': { needs: [generateClient, buildUi], run: ['scripts/test.ts', '--long'] },
  check: { needs: [generateClient], run: ['scripts/check.ts'] },
  bench: { needs: [generateClient, buildUi], run: ['bench/run.ts'] },
  format: { needs: [], run: ['node_modules/@biomejs/biome/bin/biome', 'check', '--write'] },
  nameplate: { needs: [generateClient, buildUi], run: ['server/cli.ts'] },
  prepare: { needs: [generateClient, buildUi], run: null },
}

function say(text) {
  process.stderr.write(`nameplate: ${text}\n`)
}

function fail(text) {
  say(text)
  process.exit(1)
}

function hashOf(files) {
  const hash = createHash('sha256')
  for (const file of files) hash.update(`${file}\0`).update(existsSync(file) ? readFileSync(file) : '')
  return hash.digest('hex')
}

function filesBelow(folder) {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort()
}

/** Runs `work` unless it was done for the same `state` before and its `result` is still there. */
function once({ name, state, result, text, work }) {
  const stamp = join(stamps, name)
  if (existsSync(result) && existsSync(stamp) && readFileSync(stamp, 'utf8') === state) return
  say(`${text} …`)
  const started = Date.now()
  work()
  mkdirSync(stamps, { recursive: true })
  writeFileSync(stamp, state)
  say(`${text}: done in ${((Date.now() - started) / 1000).toFixed(1)} s`)
}

/** What a tool says is shown only when it fails. */
function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 64e6, ...options })
  if (result.error) fail(`${command} could not be started: ${result.error.message}`)
  if (result.status === 0) return
  process.stderr.write(`${result.stdout}${result.stderr}`)
  fail(`${command} ${args.join(' ')} failed; what it said stands above`)
}

function install() {
  once({
    name: 'installed',
    state: hashOf([join(root, 'package-lock.json'), join(root, 'package.json')]),
    result: join(root, 'node_modules'),
    text: 'installing from the lockfile (about a minute, only after a change of it)',
    work: () =>
      run('npm', ['ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund', '--loglevel=error']),
  })
}

function pinnedNode() {
  const name = `node-linux-${process.arch}`
  const wanted = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).optionalDependencies[name]
  const binary = join(root, 'node_modules', name, 'bin', 'node')
  if (wanted === undefined)
    fail(`there is no pinned Node for ${process.platform} ${process.arch}: use Linux on x64 or arm64`)
  const version = spawnSync(binary, ['--version'], { encoding: 'utf8' }).stdout?.trim()
  if (version !== `v${wanted}`)
    fail(`the pinned Node ${wanted} is not in node_modules: remove node_modules and try again`)
  return binary
}

function generateClient(node) {
  const quiet = { PRISMA_SCHEMA_ENGINE_BINARY: '/bin/true', PRISMA_HIDE_UPDATE_MESSAGE: '1', CHECKPOINT_DISABLE: '1' }
  const options = { env: { ...process.env, ...quiet } }
  once({
    name: 'client',
    state: hashOf([join(root, 'prisma', 'schema.prisma'), join(root, 'node_modules', 'prisma', 'package.json')]),
    result: join(root, 'server', 'control', 'generated', 'client.ts'),
    text: 'generating the database client',
    work: () => run(node, ['node_modules/prisma/build/index.js', 'generate'], options),
  })
}

function buildUi(node) {
  const sources = ['src', 'static'].flatMap((folder) => filesBelow(join(web, folder)))
  const configuration = [join(web, 'vite.config.ts'), join(web, 'tsconfig.json'), join(root, 'package-lock.json')]
  once({
    name: 'ui',
    state: hashOf([...sources, ...configuration]),
    result: join(web, 'build', '200.html'),
    text: 'building the UI (about half a minute, only after a change of it)',
    work: () => run(node, ['../node_modules/vite/bin/vite.js', 'build', '--logLevel', 'warn'], { cwd: web }),
  })
}

/** Hands over: the pinned Node runs the command with this process's streams, signals and exit code. */
function handOver(node, args) {
  const env = { ...process.env, PATH: `${dirname(node)}:${process.env.PATH}` }
  const child = spawn(node, args, { cwd: root, stdio: ['inherit', 'inherit', 'inherit', 'ipc'], env })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('error', (error) => fail(`the pinned Node could not be started: ${error.message}`))
  child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)))
}

if (Number(process.versions.node.split('.')[0]) < 20)
  fail(`Node ${process.version} is too old: install Node 20 or newer`)
const [name = '', ...rest] = process.argv.slice(2)
const command = Object.hasOwn(commands, name) ? commands[name] : fail(`there is no command "${name}"`)
install()
const node = pinnedNode()
for (const need of command.needs) need(node)
if (command.run !== null) handOver(node, [...command.run, ...rest])
