import { writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { type Measurement, manyNames, proofToLive } from './live.ts'

/** `npm run bench [-- --json FILE]`: runs the measurements one after the other and prints a table. */
const measurements: Readonly<Record<string, () => Promise<Measurement>>> = {
  'from proof to live, one name at a time': proofToLive,
  '300 names at once': manyNames,
}

const results: Record<string, Measurement> = {}
for (const [name, measure] of Object.entries(measurements)) {
  console.error(`measuring: ${name} …`)
  results[name] = await measure()
  const figures = Object.entries(results[name]).map(([figure, value]) => `${figure} ${value}`)
  console.log(`${name.padEnd(42)} ${figures.join('  ')}`)
}
const fileAt = process.argv.indexOf('--json')
const file = fileAt < 0 ? undefined : process.argv[fileAt + 1]
const machine = { node: process.version, cores: cpus().length, at: new Date().toISOString() }
if (file !== undefined) writeFileSync(file, `${JSON.stringify({ machine, results }, null, 2)}\n`)
