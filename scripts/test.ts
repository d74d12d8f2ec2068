import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { provideTestTools } from './test-tools.ts'

/**
 * `npm test`: every suite, and one line `N passed, N failed` over all of them at the end. A suite
 * that could not run, or ran no test, counts as failed. `--long` runs those of `npm run test:long`.
 */
type Counts = { readonly passed: number; readonly failed: number }
type Suite = { readonly name: string; readonly args: readonly string[]; readonly counts: (report: string) => Counts }

const reports = mkdtempSync(join(tmpdir(), 'nameplate-reports-'))
const isLong = process.argv.includes('--long')

function vitestCounts(report: string): Counts {
  const { numPassedTests, numTotalTests, testResults } = JSON.parse(report) as VitestReport
  const brokenFiles = testResults.filter(
    (file) => file.status === 'failed' && file.assertionResults.length === 0,
  ).length
  const failed = numTotalTests - numPassedTests + brokenFiles
  return { passed: numPassedTests, failed }
}
type VitestReport = {
  numPassedTests: number
  numTotalTests: number
  testResults: { status: string; assertionResults: unknown[] }[]
}

function playwrightCounts(report: string): Counts {
  const { stats, errors } = JSON.parse(report) as { stats: Record<string, number>; errors: unknown[] }
  const passed = (stats.expected ?? 0) + (stats.flaky ?? 0)
  return { passed, failed: (stats.unexpected ?? 0) + (stats.skipped ?? 0) + errors.length }
}

const suites: readonly Suite[] = isLong
  ? [{ name: 'long', args: vitest('long', ['--config', 'vitest.long.config.ts']), counts: vitestCounts }]
  : [
      { name: 'server', args: vitest('server', []), counts: vitestCounts },
      {
        name: 'browser',
        args: ['node_modules/@playwright/test/cli.js', 'test', '-c', 'web/playwright.config.ts'],
        counts: playwrightCounts,
      },
    ]

function vitest(name: string, args: readonly string[]): string[] {
  const json = ['--reporter=json', `--outputFile.json=${join(reports, `${name}.json`)}`]
  return ['node_modules/vitest/vitest.mjs', 'run', '--reporter=default', ...json, ...args]
}

function runSuite(suite: Suite): Counts {
  console.log(`\n== ${suite.name} ==`)
  const report = join(reports, `${suite.name}.json`)
  const env = { ...process.env, PLAYWRIGHT_JSON_OUTPUT_NAME: report, CI: process.env.CI ?? '' }
  const result = spawnSync(process.execPath, suite.args, { stdio: ['ignore', 'inherit', 'inherit'], env })
  if (!existsSync(report)) return { passed: 0, failed: 1 }
  const counts = suite.counts(readFileSync(report, 'utf8'))
  const hasRun = counts.passed + counts.failed > 0
  const isHonest = result.status === 0 || counts.failed > 0
  return hasRun && isHonest ? counts : { passed: counts.passed, failed: counts.failed + 1 }
}

provideTestTools()
const all = suites.map((suite) => ({ name: suite.name, ...runSuite(suite) }))
rmSync(reports, { recursive: true, force: true })
console.log('')
for (const { name, passed, failed } of all) console.log(`${name}: ${passed} of ${passed + failed} tests passed`)
const passed = all.reduce((sum, suite) => sum + suite.passed, 0)
const failed = all.reduce((sum, suite) => sum + suite.failed, 0)
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 && passed > 0 ? 0 : 1)
