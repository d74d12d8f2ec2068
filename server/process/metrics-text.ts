/** One time series at this moment. */
export type Sample = {
  readonly labels?: Readonly<Record<string, string>>
  readonly value: number
  /** Of a histogram: which of its series this is. */
  readonly suffix?: '_bucket' | '_sum' | '_count'
}

/** Series of one name. Names and labels are ours, never from a request, so that their number is bounded. */
export type MetricFamily = {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly samples: readonly Sample[]
}

/** Content type of `metricsText`. */
export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** Writes families in the text format of Prometheus (exposition format 0.0.4). */
export function metricsText(families: readonly MetricFamily[]): string {
  return families.map(familyText).join('')
}

function familyText({ name, help, type, samples }: MetricFamily): string {
  const lines = samples.map(
    ({ labels, value, suffix = '' }) => `${name}${suffix}${labelsText(labels ?? {})} ${value}\n`,
  )
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`
}

function labelsText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${value.replace(/[\\"\n]/g, escaped)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function escaped(one: string): string {
  return one === '\n' ? '\\n' : `\\${one}`
}

/** What every process tells of itself. `plane` is a label of all. */
export function processFamilies(plane: string): MetricFamily[] {
  const { rss, heapUsed } = process.memoryUsage()
  const { user, system } = process.cpuUsage()
  const gauge = (name: string, help: string, value: number): MetricFamily => ({
    name: `nameplate_process_${name}`,
    help,
    type: 'gauge',
    samples: [{ labels: { plane }, value }],
  })
  return [
    gauge('resident_bytes', 'Memory of the process.', rss),
    gauge('heap_bytes', 'Heap of the runtime that is in use.', heapUsed),
    gauge('cpu_seconds', 'Processor time since the start.', (user + system) / 1e6),
    gauge('uptime_seconds', 'Age of the process.', process.uptime()),
  ]
}
