import pg from 'pg'
import type { Logger } from '../../process/log.ts'
import { HINT_CHANNEL, type Topic } from '../db.ts'

/** Wait between two tries to listen again. */
const RECONNECT_MS = 1_000

/** Delivers hints from Postgres to whoever subscribed. */
export type Hints = {
  /** Calls `wake` at each hint of the topic, and once after every (re)connect, since hints may have been lost. Returns the way to stop. */
  subscribe(topic: Topic, wake: () => void): () => void
  /** Ends the connection. */
  close(): Promise<void>
}

/**
 * Listens on one connection of its own and connects again when that is lost. While it is down,
 * loops go on by their intervals.
 */
export function openHints(databaseUrl: string, log: Logger): Hints {
  const subscribers = new Map<Topic, Set<() => void>>()
  let client: pg.Client | null = null
  let timer: NodeJS.Timeout | null = null
  let isClosed = false

  const wakeAll = (topic?: Topic): void => {
    for (const [name, wakes] of subscribers) if (topic === undefined || topic === name) for (const wake of wakes) wake()
  }
  const lost = (failed: pg.Client, error?: Error): void => {
    if (client !== failed || isClosed) return
    client = null
    log.warn({ err: error }, 'lost the connection that brings hints; trying again')
    failed.end().catch(() => undefined)
    timer = setTimeout(() => void connect(), RECONNECT_MS)
  }
  const connect = async (): Promise<void> => {
    const next = new pg.Client({
      connectionString: databaseUrl,
      keepAlive: true,
      connectionTimeoutMillis: 5_000,
      application_name: 'nameplate hints',
    })
    client = next
    next.on('error', (error) => lost(next, error))
    next.on('end', () => lost(next))
    next.on('notification', (message) => wakeAll(message.payload as Topic))
    try {
      await next.connect()
      await next.query(`listen ${HINT_CHANNEL}`)
      wakeAll()
    } catch (error) {
      lost(next, error as Error)
    }
  }
  void connect()

  return {
    subscribe(topic, wake) {
      const wakes = subscribers.get(topic) ?? new Set()
      subscribers.set(topic, wakes.add(wake))
      return () => wakes.delete(wake)
    },
    async close() {
      isClosed = true
      if (timer !== null) clearTimeout(timer)
      await client?.end().catch(() => undefined)
    },
  }
}
