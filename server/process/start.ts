import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Child, superviseChild } from './child.ts'
import { takeLock } from './lock.ts'
import { createLog, type Logger } from './log.ts'
import { type EmbeddedPostgres, type PostgresOptions, startPostgres } from './postgres.ts'
import type { Listen, Settings } from './settings.ts'
import { serveUpgrades, type UpgradeKind } from './upgrade-socket.ts'

/** The planes that a parent can run. */
export const planes = ['control', 'listener'] as const

/** One of `planes`. */
export type Plane = (typeof planes)[number]

/** What the control plane says when it answers. */
export type ControlReady = { readonly type: 'ready'; readonly uiUrl: string; readonly setupUrl: string | null }

/** What the listener says when its workers answer. */
export type ListenerReady = {
  readonly type: 'ready'
  readonly https: readonly string[]
  readonly http: readonly string[]
  readonly runtime: string
  readonly workers: number
  readonly version: string
}

/** A running installation. */
export type Running = {
  readonly control: ControlReady | null
  readonly listener: ListenerReady | null
  /** Stops everything in the order in which nothing is lost: listener, control plane, database. */
  stop(): Promise<void>
}

/**
 * Starts the planes under this process, with the embedded PostgreSQL when the control plane is among
 * them and `DATABASE_URL` is not set. Crashed children are started again. Throws the one-line errors
 * of its parts; then nothing is left running.
 */
export async function startPlanes(
  settings: Settings,
  wanted: readonly Plane[],
  env: NodeJS.ProcessEnv,
): Promise<Running> {
  const log = createLog('parent', settings.logLevel)
  const unlock = takeLock(settings.dataDir, wanted.length === planes.length ? 'start' : `start-${wanted.join('-')}`)
  const stops: (() => Promise<void>)[] = [async () => unlock()]
  const stop = async (): Promise<void> => {
    for (const step of stops.splice(0).reverse()) await step()
  }
  try {
    const childEnv = { ...env }
    if (wanted.includes('control') && settings.databaseUrl === null) {
      // Before the server's clean-up of leftovers, which would take another parent's for one.
      const release = takeLock(settings.dataDir, 'postgres')
      stops.push(async () => release())
      const database = await keepPostgres(
        { folder: join(settings.dataDir, 'postgres'), exceptUser: settings.user },
        log,
      )
      stops.push(database.stop)
      childEnv.DATABASE_URL = database.url
    }
    const launch = <T>(plane: Plane): Child<T> | null => {
      if (!wanted.includes(plane)) return null
      const file = fileURLToPath(new URL(`../${plane}.ts`, import.meta.url))
      // Both planes measure themselves, and one port has one process: the listener takes the next one.
      const isSecond = plane === 'listener' && wanted.includes('control')
      const planeEnv = isSecond ? { ...childEnv, NAMEPLATE_METRICS_LISTEN: nextPort(settings.metricsListen) } : childEnv
      const child = superviseChild<T>({ name: plane, file, env: planeEnv, log })
      stops.push(child.stop)
      return child
    }
    const control = launch<ControlReady>('control')
    const listener = launch<ListenerReady>('listener')
    const [controlReady, listenerReady] = await Promise.all([control?.ready ?? null, listener?.ready ?? null])
    if (listener !== null) {
      stops.push(await serveUpgrades(settings.dataDir, (kind) => upgrade(listener, kind), log))
    }
    return { control: controlReady, listener: listenerReady, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Replaces the data plane, or its workers, by what is on disk. The line is for who asked. */
async function upgrade(listener: Child<ListenerReady>, kind: UpgradeKind): Promise<string> {
  if (kind === 'workers') {
    await listener.ask('replace-workers')
    return 'All workers were replaced, one after the other.'
  }
  const { workers, runtime, version } = await listener.replace()
  return `The listener was replaced: version ${version}, ${workers} workers on ${runtime}.`
}

/** The same address with the port after it (before it, at the end); any port stays any port. */
function nextPort({ address, port }: Listen): string {
  const next = port === 0 ? 0 : port === 65_535 ? port - 1 : port + 1
  return `${address === null ? '' : address.includes(':') ? `[${address}]` : address}:${next}`
}

/** The embedded server, started again when it dies; its URL stays the same. */
async function keepPostgres(
  options: PostgresOptions,
  log: Logger,
): Promise<{ url: string; stop: () => Promise<void> }> {
  let isStopping = false
  let server: EmbeddedPostgres = await startPostgres(options)
  const { url } = server
  const watch = (): void => {
    server.child.once('exit', (code, signal) => {
      if (isStopping) return
      log.warn({ code, signal }, 'the embedded PostgreSQL has ended; starting it again')
      void restart()
    })
  }
  const restart = async (): Promise<void> => {
    while (!isStopping) {
      try {
        server = await startPostgres(options)
        return watch()
      } catch (error) {
        log.error({ err: error }, 'the embedded PostgreSQL does not start; trying again')
        await sleep(1_000)
      }
    }
  }
  watch()
  return {
    url,
    async stop() {
      isStopping = true
      await server.stop()
    },
  }
}
