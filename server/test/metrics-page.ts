/** One sample of a page. */
export type ParsedSample = {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** A family of a page. */
export type ParsedFamily = { readonly type: string; readonly help: string; readonly samples: ParsedSample[] }

const sampleLine = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (-?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Inf)|NaN)$/
const label = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\[\\"n])*)"(?:,|$)/y

/**
 * Reads the text format of Prometheus (exposition format 0.0.4) as strictly as it is written, and throws for what a
 * scraper would refuse: a sample without its family, a family or a series twice, buckets that fall.
 */
export function parseMetrics(body: string): Map<string, ParsedFamily> {
  const families = new Map<string, ParsedFamily>()
  for (const block of body.split(/^(?=# HELP )/m)) {
    const [help = '', type = '', ...lines] = block.replace(/\n$/, '').split('\n')
    const [, name = '', told = ''] = /^# HELP (\S+) (.+)$/.exec(help) ?? []
    const [, of = '', kind = ''] = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(type) ?? []
    if (name === '' || of !== name) throw new Error(`not the head of a family: ${help} / ${type}`)
    if (families.has(name)) throw new Error(`the family ${name} comes twice`)
    families.set(name, { type: kind, help: told, samples: samplesOf(name, kind, lines) })
  }
  return families
}

function samplesOf(name: string, type: string, lines: readonly string[]): ParsedSample[] {
  const keys = lines.map((line) => line.slice(0, line.lastIndexOf(' ')))
  if (new Set(keys).size < keys.length) throw new Error(`a series of ${name} comes twice`)
  const samples = lines.map(parseSample)
  const baseOf = (of: string): string => (type === 'histogram' ? of.replace(/_(bucket|sum|count)$/, '') : of)
  const [stray] = samples.filter((sample) => baseOf(sample.name) !== name)
  if (stray !== undefined) throw new Error(`a sample without its family: ${stray.name}`)
  if (type === 'histogram') checkBuckets(name, samples)
  return samples
}

function parseSample(line: string): ParsedSample {
  const [, name, text = '', value] = sampleLine.exec(line) ?? []
  if (name === undefined || value === undefined) throw new Error(`not a line of metrics: ${line}`)
  const labels: Record<string, string> = {}
  label.lastIndex = 0
  while (label.lastIndex < text.length) {
    const [, key, raw] = label.exec(text) ?? []
    if (key === undefined || raw === undefined || key in labels) throw new Error(`labels that are none: ${line}`)
    labels[key] = raw.replace(/\\(.)/g, (_, one: string) => (one === 'n' ? '\n' : one))
  }
  return { name, labels, value: Number(value.replace('Inf', 'Infinity')) }
}

function checkBuckets(name: string, samples: readonly ParsedSample[]): void {
  const groups = new Map<string, ParsedSample[]>()
  for (const sample of samples) {
    const { le: _, ...rest } = sample.labels
    const key = JSON.stringify(rest)
    groups.set(key, [...(groups.get(key) ?? []), sample])
  }
  for (const [key, group] of groups) {
    const buckets = group.filter((sample) => sample.name === `${name}_bucket`)
    const bounds = buckets.map(({ labels }) => Number(labels['le']?.replace('+Inf', 'Infinity')))
    const counts = buckets.map(({ value }) => value)
    const isRising = (values: readonly number[]) =>
      values.every((value, at) => at === 0 || value >= (values[at - 1] ?? 0))
    const count = group.find((sample) => sample.name === `${name}_count`)?.value
    const hasSum = group.some((sample) => sample.name === `${name}_sum`)
    if (!isRising(bounds) || !isRising(counts) || bounds.at(-1) !== Number.POSITIVE_INFINITY)
      throw new Error(`buckets that fall: ${name} ${key}`)
    if (counts.at(-1) !== count || !hasSum) throw new Error(`a histogram whose count or sum is wrong: ${name} ${key}`)
  }
}
