import { MAX_RANGES } from './limits.ts'

/** Bytes `first` to `last` of a representation, both included. */
export type ByteRange = { readonly first: number; readonly last: number }

const FIELD = /^bytes=([\d\s,-]+)$/i
const SPEC = /^(\d*)-(\d*)$/
const MAX_FIELD_CHARS = 512

/**
 * Reads a Range field (RFC 9110 section 14.2): the ranges in the order in which they were asked for; `unsatisfiable`
 * asks for 416; null means "answer the whole": for what cannot be read, for more ranges than anybody needs, and for
 * ranges that overlap, which only cost (section 14.2 names them as a sign of an attack).
 */
export function parseRanges(field: string | undefined, bytes: number): readonly ByteRange[] | 'unsatisfiable' | null {
  const list = field === undefined || field.length > MAX_FIELD_CHARS ? null : FIELD.exec(field)
  const specs = list?.[1]?.split(',').map((spec) => spec.trim())
  if (specs === undefined || specs.length > MAX_RANGES) return null
  const ranges: ByteRange[] = []
  for (const spec of specs) {
    const range = rangeOf(spec, bytes)
    if (range === null) return null
    if (range !== 'outside') ranges.push(range)
  }
  if (ranges.length === 0) return 'unsatisfiable'
  return overlap(ranges) ? null : ranges
}

function rangeOf(spec: string, bytes: number): ByteRange | 'outside' | null {
  const [, from, to] = SPEC.exec(spec) ?? []
  if (from === undefined || to === undefined || from + to === '') return null
  if (from === '') {
    const suffix = Number(to)
    return suffix === 0 || bytes === 0 ? 'outside' : { first: Math.max(0, bytes - suffix), last: bytes - 1 }
  }
  const first = Number(from)
  if (to !== '' && Number(to) < first) return null
  if (first >= bytes) return 'outside'
  return { first, last: to === '' ? bytes - 1 : Math.min(Number(to), bytes - 1) }
}

function overlap(ranges: readonly ByteRange[]): boolean {
  const sorted = ranges.toSorted((a, b) => a.first - b.first)
  return sorted.some(({ last }, at) => last >= (sorted[at + 1]?.first ?? Number.POSITIVE_INFINITY))
}
