/** A profile as Node and Bun write it with `--cpu-prof` (Chrome DevTools Protocol, `Profiler.Profile`). */
export type CpuProfile = {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  }[]
  /** The node that was running at each sample. */
  readonly samples: readonly number[]
  /** Microseconds since the sample before. */
  readonly timeDeltas: readonly number[]
}

/** A function's own time, without what it called. */
export type SelfTime = { readonly where: string; readonly share: number }

/** Functions by their own share of the time in which anything ran, most first. Idle time is left out. */
export function selfTimes(profile: CpuProfile): SelfTime[] {
  const places = new Map(profile.nodes.map(({ id, callFrame }) => [id, placeOf(callFrame)]))
  const times = new Map<string, number>()
  let total = 0
  for (const [index, id] of profile.samples.entries()) {
    const place = places.get(id) ?? '(unknown)'
    const micros = Math.max(0, profile.timeDeltas[index] ?? 0)
    if (place.startsWith('(idle)')) continue
    times.set(place, (times.get(place) ?? 0) + micros)
    total += micros
  }
  return [...times].map(([where, micros]) => ({ where, share: micros / total })).toSorted((a, b) => b.share - a.share)
}

function placeOf(frame: CpuProfile['nodes'][number]['callFrame']): string {
  const name = frame.functionName === '' ? '(anonymous)' : frame.functionName
  if (frame.url === '') return name
  const file = frame.url.replace(/^.*\/(server|node_modules)\//, '$1/')
  return `${name} ${file}:${frame.lineNumber + 1}`
}
