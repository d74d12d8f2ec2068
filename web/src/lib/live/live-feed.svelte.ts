import type { EventView } from '#server/control/events/schema.ts'
import { readEventStream } from './event-stream.ts'

type Listener = (event: EventView) => void

const FIRST_RETRY_MS = 1_000
const LAST_RETRY_MS = 30_000

/** The one connection of this tab to `GET /events`; pages listen to it and poll as well, since it is only a hint. */
class LiveFeed {
  #isConnected = $state(false)
  #listeners = new Set<Listener>()
  #lastEventId = ''

  get isConnected(): boolean {
    return this.#isConnected
  }

  /** Calls `listener` for each event until the returned function is called. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Connects, and again after a break, until the returned function is called. */
  start(): () => void {
    const stop = new AbortController()
    void this.#run(stop.signal)
    return () => stop.abort()
  }

  async #run(signal: AbortSignal): Promise<void> {
    let waitMs = FIRST_RETRY_MS
    while (!signal.aborted) {
      try {
        await readEventStream({
          signal,
          lastEventId: this.#lastEventId,
          onOpen: () => {
            this.#isConnected = true
            waitMs = FIRST_RETRY_MS
          },
          onMessage: (message) => this.#tell(message.id, message.data),
        })
      } catch {
        // A break is expected: the server restarts, the laptop sleeps. The next round tries again.
      }
      this.#isConnected = false
      await pause(waitMs * (0.5 + Math.random()), signal)
      waitMs = Math.min(waitMs * 2, LAST_RETRY_MS)
    }
  }

  #tell(id: string, data: string): void {
    this.#lastEventId = id
    let event: EventView
    try {
      event = JSON.parse(data) as EventView
    } catch {
      return
    }
    for (const listener of this.#listeners) listener(event)
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener(
      'abort',
      () => {
        clearTimeout(timer)
        resolve()
      },
      { once: true },
    )
  })
}

/** The one live feed of this tab; the signed-in layout starts and stops it. */
export const liveFeed = new LiveFeed()
