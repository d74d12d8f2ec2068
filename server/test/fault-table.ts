import { readFileSync } from 'node:fs'
import { expect } from 'vitest'

/** A row of the tables in docs/faults.md: each is a test, named by its id. */
export type FaultRow = { readonly id: string; readonly sees: string }

/** The rows of docs/faults.md: the fourth column is the text that the person sees, `…` stands for anything. */
export function faultRows(): FaultRow[] {
  const text = readFileSync(new URL('../../docs/faults.md', import.meta.url), 'utf8')
  return text.split('\n').flatMap((line) => {
    const cells = line.split(' | ').map((cell) => cell.trim().replace(/^\|\s*|\s*\|$/g, ''))
    const id = /^`([a-z0-9-]+)`$/.exec(cells[0] ?? '')?.[1]
    return id === undefined || cells.length !== 5 ? [] : [{ id, sees: cells[3] ?? '' }]
  })
}

/** Checks that what a person saw is what the document says that they see. */
export function expectSeen(id: string, actual: string): void {
  const row = faultRows().find((each) => each.id === id)
  expect(row, `docs/faults.md has a row ${id}`).toBeDefined()
  const texts = [...(row?.sees ?? '').matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? '')
  expect(texts.length, `the row ${id} quotes what is seen`).toBeGreaterThan(0)
  for (const text of texts) {
    const pattern = text.split('…').map(RegExp.escape).join('[^]*?')
    expect(actual).toMatch(new RegExp(pattern))
  }
}
