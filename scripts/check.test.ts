import { execFileSync, spawnSync } from 'node:child_process'
import { appendFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

/** Each check must be able to fail: on the fault that it is there for, and when it looked at nothing. */
const root = join(import.meta.dirname, '..')
const GENERATED = 'server/control/generated'
let copies: string

beforeAll(() => {
  copies = mkdtempSync(join(tmpdir(), 'nameplate-check-'))
})
afterAll(() => rmSync(copies, { recursive: true, force: true }))

function copyOfProject(keep: (file: string) => boolean = () => true): string {
  const copy = mkdtempSync(join(copies, 'project-'))
  const files = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' }).split('\0')
  for (const file of files.filter((name) => name !== '' && existsSync(join(root, name)) && keep(name))) {
    mkdirSync(dirname(join(copy, file)), { recursive: true })
    cpSync(join(root, file), join(copy, file))
  }
  if (keep(GENERATED)) cpSync(join(root, GENERATED), join(copy, GENERATED), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
  return copy
}

function check(project: string, only: string): { status: number | null; output: string } {
  const result = spawnSync(process.execPath, ['scripts/check.ts', '--only', only], { cwd: project, encoding: 'utf8' })
  return { status: result.status, output: result.stdout + result.stderr }
}

describe('a check fails on what it is there for', () => {
  test.each([
    ['layers', 'server/listener/worker.ts', "import '../control/errors.ts'\n", /planes-apart/],
    ['layers', 'server/control/auth/access.ts', "import '../publish/compile.ts'\n", /control-level/],
    ['layers', 'server/contract/records.ts', "import 'fastify'\n", /contract-is-alone/],
    [
      'dead-code',
      'server/contract/frames.ts',
      '/** Nobody uses this. */\nexport const nobodyUsesThis = 1\n',
      /nobodyUsesThis/,
    ],
    ['types', 'server/contract/frames.ts', "const wrong: number = 'text'\nwrong.toFixed()\n", /TS2322/],
    ['format', 'server/contract/frames.ts', 'var  x = {a:1};\n', /frames\.ts/],
    ['budgets', 'server/contract/frames.ts', 'export const undocumented = 1\n', /without a docstring/],
    [
      'migrations',
      'prisma/schema.prisma',
      'model Extra {\n  id Int @id\n\n  @@map("extra")\n}\n',
      /column extra\.id: in the schema, not/,
    ],
  ])('%s: %s', (only, file, addition, expected) => {
    const project = copyOfProject()
    expect(check(project, only)).toMatchObject({ status: 0 })
    appendFileSync(join(project, file), `\n${addition}`)
    const { status, output } = check(project, only)
    expect(output).toMatch(expected)
    expect(status).toBe(1)
  })
})

test.each(['format', 'types', 'layers', 'dead-code', 'budgets'])('%s fails when it looked at nothing', (only) => {
  const project = copyOfProject((file) => !/^(server|web|prisma|bench|scripts)\//.test(file))
  for (const folder of ['server', 'scripts']) mkdirSync(join(project, folder))
  writeFileSync(join(project, 'biome.json'), '{ "files": { "includes": ["nothing/**"] } }')
  const script = join(root, 'scripts', 'check.ts')
  const result = spawnSync(process.execPath, [script, '--only', only], { cwd: project, encoding: 'utf8' })
  expect(result.stdout).toMatch(/looked at nothing/)
  expect(result.status).toBe(1)
})
