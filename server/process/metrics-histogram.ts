import type { MetricFamily, Sample } from './metrics-text.ts'

/** Counts observations by upper bounds, for each set of label values. */
export type Histogram = {
  observe(labels: Readonly<Record<string, string>>, value: number): void
  family(): MetricFamily
}

/** Sets of labels that one histogram tells apart: a mistake in a label must not fill the memory. */
const MAX_SERIES = 2_000

type Series = {
  readonly labels: Readonly<Record<string, string>>
  readonly counts: number[]
  sum: number
  count: number
}

/** Makes a histogram; `bounds` rise. Labels are ours, never from a request. */
export function createHistogram(name: string, help: string, bounds: readonly number[]): Histogram {
  const series = new Map<string, Series>()
  return {
    observe(labels, value) {
      const key = JSON.stringify(Object.values(labels))
      const known = series.get(key)
      if (known === undefined && series.size >= MAX_SERIES) return
      const one = known ?? { labels, counts: bounds.map(() => 0), sum: 0, count: 0 }
      series.set(key, one)
      one.sum += value
      one.count += 1
      const at = bounds.findIndex((bound) => value <= bound)
      if (at >= 0) one.counts[at] = (one.counts[at] ?? 0) + 1
    },
    family: () => ({
      name,
      help,
      type: 'histogram',
      samples: [...series.values()].flatMap(({ labels, counts, sum, count }) =>
        histogramSamples({ labels, bounds, counts, sum, count }),
      ),
    }),
  }
}

/** The samples of one series; `counts` are of each bucket alone, not yet added up. */
export function histogramSamples(series: {
  readonly labels?: Readonly<Record<string, string>>
  readonly bounds: readonly number[]
  readonly counts: readonly number[]
  readonly sum: number
  readonly count: number
}): Sample[] {
  const { labels = {}, bounds, counts, sum, count } = series
  let total = 0
  const buckets = bounds.map((bound, at): Sample => {
    total += counts[at] ?? 0
    return { suffix: '_bucket', labels: { ...labels, le: String(bound) }, value: total }
  })
  return [
    ...buckets,
    { suffix: '_bucket', labels: { ...labels, le: '+Inf' }, value: count },
    { suffix: '_sum', labels, value: sum },
    { suffix: '_count', labels, value: count },
  ]
}
