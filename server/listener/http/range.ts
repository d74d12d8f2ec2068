/** Bytes `first` to `last` of a representation, both included. */
export type ByteRange = { readonly first: number; readonly last: number }

const SINGLE = /^bytes=\s*(\d*)-(\d*)\s*$/i

/**
 * Reads a Range field (RFC 9110 section 14): one byte range; `unsatisfiable` asks for 416; null means
 * "answer the whole", which is also what several ranges and what cannot be read get.
 */
export function parseRange(field: string | undefined, bytes: number): ByteRange | 'unsatisfiable' | null {
  const match = field === undefined ? null : SINGLE.exec(field)
  if (match === null) return null
  const [, from = '', to = ''] = match
  if (from === '' && to === '') return null
  if (from === '') {
    const suffix = Number(to)
    if (suffix === 0 || bytes === 0) return 'unsatisfiable'
    return { first: Math.max(0, bytes - suffix), last: bytes - 1 }
  }
  const first = Number(from)
  if (to !== '' && Number(to) < first) return null
  if (first >= bytes) return 'unsatisfiable'
  return { first, last: to === '' ? bytes - 1 : Math.min(Number(to), bytes - 1) }
}
