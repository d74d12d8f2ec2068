import type { Facts } from './facts.ts'
import { type ServerName, serverNames } from './peers/server.ts'
import type { RoundResult, RoundRow } from './rounds.ts'
import { type Ratio, ratioOf, type Series, type Summary, summarise } from './statistics.ts'

/** A server's part of a row that was measured in rounds: operations per second of its CPU, and against nginx. */
export type Cell = Summary & { readonly toNginx: Ratio | null }

/** A row that was measured in rounds. */
export type ComparedRow = {
  readonly kind: 'compared'
  readonly name: string
  readonly title: string
  readonly unit: string
  readonly cells: { readonly [S in ServerName]?: Cell }
  readonly series: { readonly [S in ServerName]?: Series }
  readonly notes: readonly string[]
}

/** Figures by who or what they belong to, each with its unit in its name. */
export type Figures = Readonly<Record<string, Readonly<Record<string, number | string>>>>

/** A row of figures that are no comparison by rounds. */
export type FigureRow = {
  readonly kind: 'figures'
  readonly name: string
  readonly title: string
  readonly figures: Figures
  readonly notes: readonly string[]
}

/** What a row found. */
export type RowReport = ComparedRow | FigureRow

/** What is written with `--json`. */
export type Report = { readonly facts: Facts; readonly options: object; readonly rows: readonly RowReport[] }

/** Sums up the rounds of a row. */
export function compare(row: RoundRow, { series, notes }: RoundResult): ComparedRow {
  const cells: Partial<Record<ServerName, Cell>> = {}
  for (const name of serverNames) {
    const summary = summarise(series[name] ?? [])
    if (summary !== null) cells[name] = { ...summary, toNginx: ratioOf(series[name] ?? [], series.nginx ?? []) }
  }
  const { name, title, unit } = row
  return { kind: 'compared', name, title, unit, cells, series, notes }
}

/** A row as lines for the terminal. */
export function rowText(row: RowReport): string {
  const lines = row.kind === 'compared' ? comparedLines(row) : figureLines(row.figures)
  return [`${row.title} (${row.name})`, ...lines, ...row.notes.map((note) => `    ! ${note}`)].join('\n')
}

function comparedLines({ cells, unit }: ComparedRow): string[] {
  return Object.entries(cells).map(([name, { median, best, rounds, toNginx }]) => {
    const rate = `${number(median).padStart(9)} ${unit}/CPU s, best ${number(best).padStart(9)}, ${rounds} rounds`
    const ratio = toNginx === null || name === 'nginx' ? '' : `  to nginx ${ratioText(toNginx)}`
    return `    ${name.padEnd(16)}${rate}${ratio}`
  })
}

function ratioText({ median, best }: Ratio): string {
  return `${median.toFixed(2)} (best ${best.toFixed(2)})`
}

function figureLines(figures: Figures): string[] {
  return Object.entries(figures).map(([owner, values]) => {
    const texts = Object.entries(values).map(([figure, value]) => `${figure} ${value}`)
    return `    ${owner.padEnd(34)} ${texts.join('  ')}`
  })
}

/** Three or more digits that mean something, thousands with a comma. */
function number(value: number): string {
  return value.toLocaleString('en-GB', { maximumFractionDigits: value < 100 ? 1 : 0 })
}
