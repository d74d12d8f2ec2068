import { type ServerName, serverNames } from './peers/server.ts'
import type { ComparedRow, Report } from './report.ts'

/** A bar of the drawing: how much a server does for the CPU time in which nginx does 1. */
type Bar = { readonly server: ServerName; readonly ratio: number }

const WIDTH = 860
const LEFT = 290
const RIGHT = 70
const BAR = 11
const GAP = 16
const TOP = 96
/** Bars end here; the number beside them is true. */
const MOST = 2.5

const labels: Readonly<Record<ServerName, string>> = {
  'nameplate-bun': 'Nameplate on Bun',
  'nameplate-node': 'Nameplate on Node',
  nginx: 'nginx',
  haproxy: 'HAProxy',
  caddy: 'Caddy',
}

/** Colours that keep 3:1 against white and against #0d1117, and differ in lightness for those who see no hue. */
const style = `
    svg { color-scheme: light dark; }
    text { font: 12px system-ui, sans-serif; fill: #1f2328; }
    .title { font-size: 16px; font-weight: 600; }
    .small { font-size: 11px; fill: #59636e; }
    .line { stroke: #d1d9e0; }
    .one { stroke: #59636e; stroke-dasharray: 3 3; }
    .nameplate-bun { fill: #0969da; }
    .nameplate-node { fill: #54a0f0; }
    .haproxy { fill: #8250df; }
    .caddy { fill: #bc4c00; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; }
      .small { fill: #9198a1; }
      .line { stroke: #3d444d; }
      .one { stroke: #9198a1; }
      .nameplate-bun { fill: #4493f8; }
      .nameplate-node { fill: #2a6fc9; }
      .haproxy { fill: #ab7df8; }
      .caddy { fill: #db6d28; }
    }`

/** Draws the compared rows as bars against nginx; an SVG that stands alone and follows the reader's colour scheme. */
export function plotOf(report: Report): string {
  const rows = report.rows.filter((row) => row.kind === 'compared').filter((row) => barsOf(row).length > 0)
  const drawn: string[] = []
  let top = TOP
  for (const row of rows) {
    drawn.push(groupAt(row, top))
    top += barsOf(row).length * BAR + GAP
  }
  const height = top + 30
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-labelledby="title about">
  <title id="title">Nameplate, HAProxy and Caddy against nginx</title>
  <desc id="about">Work for a second of server CPU, nginx is 1. ${markupOf(describe(rows))}</desc>
  <style>${style}
  </style>
  <text class="title" x="16" y="28">Work for a second of server CPU, nginx = 1</text>
  <text class="small" x="16" y="48">${markupOf(footnote(report))}</text>
  ${legend()}
  ${scale(top)}
  ${drawn.join('\n  ')}
</svg>
`
}

function barsOf({ cells }: ComparedRow): Bar[] {
  return serverNames.flatMap((server) => {
    const ratio = server === 'nginx' ? undefined : cells[server]?.toNginx?.median
    return ratio === undefined || !Number.isFinite(ratio) ? [] : [{ server, ratio }]
  })
}

function x(ratio: number): number {
  return Math.round(LEFT + (Math.min(ratio, MOST) / MOST) * (WIDTH - LEFT - RIGHT))
}

function groupAt(row: ComparedRow, top: number): string {
  const bars = barsOf(row)
  const middle = top + (bars.length * BAR) / 2 + 4
  const drawn = bars.map(({ server, ratio }, index) => {
    const y = top + index * BAR
    const mark = ratio > MOST ? ' →' : ''
    return `<rect class="${server}" x="${LEFT}" y="${y}" width="${x(ratio) - LEFT}" height="${BAR - 2}"/><text class="small" x="${x(ratio) + 5}" y="${y + 9}">${ratio.toFixed(2)}${mark}</text>`
  })
  return `<text x="${LEFT - 10}" y="${middle}" text-anchor="end">${markupOf(row.title)}</text>${drawn.join('')}`
}

function legend(): string {
  const shown = serverNames.filter((server) => server !== 'nginx')
  return shown
    .map((server, index) => {
      const left = 16 + index * 160
      return `<rect class="${server}" x="${left}" y="62" width="11" height="11"/><text x="${left + 17}" y="72">${labels[server]}</text>`
    })
    .join('')
}

function scale(bottom: number): string {
  const marks = [0, 0.5, 1, 1.5, 2, 2.5]
  return marks
    .map((mark) => {
      const at = x(mark)
      const line = `<line class="${mark === 1 ? 'one' : 'line'}" x1="${at}" x2="${at}" y1="${TOP - 8}" y2="${bottom}"/>`
      return `${line}<text class="small" x="${at}" y="${bottom + 16}" text-anchor="middle">${mark}</text>`
    })
    .join('')
}

function footnote({ facts, options }: Report): string {
  const { versions } = facts
  const { rounds } = options as { rounds?: number }
  const peers = `nginx ${versions.nginx}, HAProxy ${versions.haproxy}, Caddy ${versions.caddy}`
  const ours = `${versions['nameplate-bun']}, ${versions['nameplate-node']}`
  return `${facts.cpu}, one core each; medians of ${rounds ?? '?'} rounds; ${peers}; ${ours}; ${facts.at.slice(0, 10)}`
}

function describe(rows: readonly ComparedRow[]): string {
  const texts = rows.map((row) => {
    const bars = barsOf(row).map(({ server, ratio }) => `${labels[server]} ${ratio.toFixed(2)}`)
    return `${row.title}: ${bars.join(', ')}.`
  })
  return texts.join(' ')
}

function markupOf(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`)
}
