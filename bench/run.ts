import { writeFileSync } from 'node:fs'
import { cleanUpAtEnd } from './cleanup.ts'
import { readFacts } from './facts.ts'
import { helpText, type Options, readOptions } from './options.ts'
import { plotOf } from './plot.ts'
import { profileRow } from './profile.ts'
import { compare, type FigureRow, type RowReport, rowText } from './report.ts'
import { type RoundRow, runRounds, type SceneName } from './rounds.ts'
import type { MeasuredRow } from './rows/figure-row.ts'
import { measuredRows } from './rows/measured.ts'
import { servingRows } from './rows/serving.ts'
import { serverKinds, startStage } from './scenes.ts'
import { provideBenchTools } from './tools.ts'

/** `npm run bench`: measures row after row and prints each as it comes. See README.md in this folder. */
cleanUpAtEnd()
// What goes wrong beside a row does not take the others with it.
process.on('uncaughtException', (error) => console.error('bench: uncaught:', error))
const allRows = [...servingRows, ...measuredRows]
try {
  const options = readOptions(
    process.argv.slice(2),
    allRows.map((row) => row.name),
  )
  if (options.isHelp) process.stdout.write(helpText(allRows))
  else await main(options)
} catch (error) {
  console.error(`bench: ${(error as Error).message}`)
  process.exit(1)
}
process.exit(0)

async function main(options: Options): Promise<void> {
  const missing = provideBenchTools(options.profile !== null)
  if (missing.length > 0) console.error(`missing: ${missing.join(', ')}; the rows that need them fail`)
  if (options.profile !== null) return profileRow(options.profile, options)
  const facts = readFacts()
  console.log(`${facts.cpu}, ${facts.cores} cores, Linux ${facts.kernel}, ${facts.system}`)
  console.log(
    `${Object.entries(facts.versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', ')}\n`,
  )
  const rows: RowReport[] = []
  const keep = (row: RowReport): void => {
    rows.push(row)
    console.log(`${rowText(row)}\n`)
    // After each row, so that what was measured is not lost with what comes after.
    if (options.json !== null) writeFileSync(options.json, `${JSON.stringify({ facts, options, rows }, null, 2)}\n`)
  }
  const isWanted = ({ name }: { name: string }): boolean => options.only?.includes(name) ?? true
  for (const [scene, wanted] of Map.groupBy(servingRows.filter(isWanted), (row) => row.scene))
    await runScene(scene, wanted, options, keep)
  for (const row of measuredRows.filter(isWanted)) keep(await runMeasured(row, options))
  if (options.plot !== null) writeFileSync(options.plot, plotOf({ facts, options, rows }))
}

async function runScene(
  scene: SceneName,
  rows: readonly RoundRow[],
  options: Options,
  keep: (row: RowReport) => void,
): Promise<void> {
  console.error(`starting the servers of the scene "${scene}" …`)
  await using stage = await startStage(scene, serverKinds(options))
  for (const row of rows) {
    console.error(`measuring ${row.name} …`)
    const result = await runRounds(row, stage.servers, options)
    keep(compare(row, { ...result, notes: [...stage.problems, ...result.notes] }))
  }
}

async function runMeasured(row: MeasuredRow, options: Options): Promise<FigureRow> {
  console.error(`measuring ${row.name} …`)
  const { name, title } = row
  const notes: string[] = []
  try {
    const figures = await row.measure(options, (text) => notes.push(text))
    return { kind: 'figures', name, title, figures, notes }
  } catch (error) {
    return { kind: 'figures', name, title, figures: {}, notes: [...notes, `failed: ${(error as Error).message}`] }
  }
}
