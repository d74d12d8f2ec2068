import type { Client } from './clients/load.ts'
import type { Server, ServerName } from './peers/server.ts'
import type { Series } from './statistics.ts'
import { cpuSeconds } from './usage.ts'

/** A row that is measured in rounds: how much a server does in a second of its processor time. */
export type RoundRow = {
  readonly name: string
  readonly title: string
  readonly unit: string
  /** What the servers serve meanwhile. */
  readonly scene: SceneName
  /** Servers that cannot do it, with the reason. */
  readonly without?: { readonly [S in ServerName]?: string }
  client(server: Server, seconds: number): Promise<Client>
}

/** One of the scenes of `scenes.ts`. */
export type SceneName = 'ecdsa' | 'rsa' | 'proxy' | 'log'

/** What the rounds of a row found, by server. */
export type RoundResult = {
  readonly series: Partial<Record<ServerName, Series>>
  /** Once each, in the order in which they came up. */
  readonly notes: readonly string[]
}

/** More failures than this share of the operations make a round worthless. */
const MOST_FAILURES = 0.01

/** How rounds are made. */
export type RoundOptions = {
  readonly rounds: number
  readonly seconds: number
  /** Load before the first round, in seconds; 0: none. */
  readonly warm: number
}

/**
 * Measures the servers in turn, round after round, so that what disturbs the machine disturbs all of them. Before, each
 * has the same load for a while: runtimes that compile while they run reach their speed after thousands of connections.
 * A round that fails is null and told in the notes.
 */
export async function runRounds(
  row: RoundRow,
  servers: readonly Server[],
  { rounds, seconds, warm }: RoundOptions,
): Promise<RoundResult> {
  const series: Partial<Record<ServerName, (number | null)[]>> = {}
  const notes = new Set<string>()
  for (const [name, reason] of Object.entries(row.without ?? {})) notes.add(`${name}: ${reason}`)
  const able = servers.filter(({ name }) => row.without?.[name] === undefined)
  if (warm > 0) for (const server of able) await oneRound(row, server, warm, notes)
  for (let round = 0; round < rounds; round += 1) {
    for (const server of able) {
      const value = await oneRound(row, server, seconds, notes)
      series[server.name] = [...(series[server.name] ?? []), value]
    }
  }
  return { series, notes: [...notes] }
}

async function oneRound(row: RoundRow, server: Server, seconds: number, notes: Set<string>): Promise<number | null> {
  try {
    const client = await row.client(server, seconds)
    const before = cpuSeconds(server.pids)
    const { operations, failed, note } = await client.run()
    const used = cpuSeconds(server.pids) - before
    if (note !== null) notes.add(`${server.name}: ${note}`)
    if (failed > operations * MOST_FAILURES || operations === 0)
      throw new Error(`${failed} of ${operations + failed} failed`)
    if (used <= 0) throw new Error('its processes used no processor time: these are not the ones that answer')
    return operations / used
  } catch (error) {
    notes.add(`${server.name}: a round failed: ${(error as Error).message.split('\n')[0]}`)
    return null
  }
}
