import { expect, test } from 'vitest'
import { plotOf } from './plot.ts'
import type { ComparedRow, Report } from './report.ts'

const cell = (ratio: number) => ({ rounds: 8, best: 1, median: 1, toNginx: { median: ratio, best: ratio } })
const row: ComparedRow = {
  kind: 'compared',
  name: 'keepalive',
  title: 'GET <1 KiB> & more',
  unit: 'requests',
  cells: { 'nameplate-bun': cell(1.25), nginx: cell(1), caddy: cell(9) },
  series: {},
  notes: [],
}
const versions = {
  nginx: '1.22.1',
  haproxy: '2.6',
  caddy: '2.6.2',
  'nameplate-bun': 'bun 1',
  'nameplate-node': 'node 26',
}
const facts = { cpu: 'A "fast" one', at: '2026-11-25T00:00:00Z', versions } as unknown as Report['facts']

test('each server of a row has a bar as long as its ratio, nginx none', () => {
  const svg = plotOf({ facts, options: { rounds: 8 }, rows: [row] })
  const widths = [...svg.matchAll(/<rect class="([\w-]+)" x="290" y="\d+" width="(\d+)"/g)].map((found) =>
    found.slice(1),
  )
  // 500 pixels are 2.5; what is longer ends there and says its number.
  expect(widths).toEqual([
    ['nameplate-bun', '250'],
    ['caddy', '500'],
  ])
  expect(svg).toContain('>1.25</text>')
  expect(svg).toContain('>9.00 →</text>')
})

test('what a text holds is no markup', () => {
  const svg = plotOf({ facts, options: { rounds: 8 }, rows: [row] })
  expect(svg).toContain('GET &#60;1 KiB&#62; &#38; more')
  expect(svg).not.toContain('<1 KiB>')
  expect(svg).toContain('A &#34;fast&#34; one')
})

test('a row that nobody answered, and figures, are not drawn', () => {
  const figures = { kind: 'figures', name: 'memory', title: 'memory', figures: {}, notes: [] } as const
  const svg = plotOf({ facts, options: {}, rows: [{ ...row, cells: {} }, figures] })
  expect(svg).not.toContain('GET')
  expect(svg).toContain('</svg>')
})
