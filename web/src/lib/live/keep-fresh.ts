import type { EventView } from '#server/control/events/schema.ts'
import { liveFeed } from './live-feed.svelte.ts'

/** Several events of one transaction make one reading. */
const GATHER_MS = 120

/**
 * Calls `refresh` when an event that `concerns` the page comes, and every `everyMs()` while the tab is seen (null: not
 * by time). Returns the function that ends it.
 */
export function keepFresh(options: {
  refresh: () => void
  concerns: (event: EventView) => boolean
  everyMs: () => number | null
}): () => void {
  let gather: ReturnType<typeof setTimeout> | undefined
  let lastAt = Date.now()
  const refresh = () => {
    lastAt = Date.now()
    options.refresh()
  }
  const unlisten = liveFeed.listen((event) => {
    if (!options.concerns(event)) return
    clearTimeout(gather)
    gather = setTimeout(refresh, GATHER_MS)
  })
  const tick = setInterval(() => {
    const everyMs = options.everyMs()
    if (everyMs !== null && !document.hidden && Date.now() - lastAt >= everyMs) refresh()
  }, 250)
  return () => {
    unlisten()
    clearTimeout(gather)
    clearInterval(tick)
  }
}
