/** Operations per second of server CPU, round by round; null where a round failed. */
export type Series = readonly (number | null)[]

/** What the rounds of one server came to. */
export type Summary = {
  readonly rounds: number
  readonly best: number
  readonly median: number
}

/** How one server stands to another in the same rounds. 1.2 is a fifth more work for the same CPU time. */
export type Ratio = {
  /** Median of the ratios of the rounds: what a machine that is busy elsewhere disturbs least. */
  readonly median: number
  /** Best round of the one by best round of the other: others' work only ever takes away. */
  readonly best: number
}

/** The middle of some numbers; NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  const upper = sorted[Math.floor(middle)] ?? Number.NaN
  return Number.isInteger(middle) && sorted.length > 0 ? ((sorted[middle - 1] ?? upper) + upper) / 2 : upper
}

/** The value below which `share` of the numbers lie (nearest rank); NaN for none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const rank = Math.min(sorted.length, Math.max(1, Math.ceil(share * sorted.length)))
  return sorted[rank - 1] ?? Number.NaN
}

/** Sums up a server's rounds; null where none succeeded. */
export function summarise(series: Series): Summary | null {
  const values = series.filter((value) => value !== null)
  if (values.length === 0) return null
  return { rounds: values.length, best: Math.max(...values), median: median(values) }
}

/** The ratio of two servers by the rounds in which both succeeded; null where there is none. */
export function ratioOf(own: Series, other: Series): Ratio | null {
  const pairs = own.flatMap((value, round) => {
    const against = other[round] ?? null
    return value === null || against === null ? [] : [{ value, against }]
  })
  if (pairs.length === 0) return null
  return {
    median: median(pairs.map(({ value, against }) => value / against)),
    best: Math.max(...pairs.map((pair) => pair.value)) / Math.max(...pairs.map((pair) => pair.against)),
  }
}
