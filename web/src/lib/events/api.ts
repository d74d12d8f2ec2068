import { call, type Filter } from '#lib/api/client.ts'
import type { ListPage } from '#lib/api/listing.svelte.ts'
import type { EventView, HistoryQuery } from '#server/control/events/schema.ts'

export type { EventView } from '#server/control/events/schema.ts'

/** What happened, newest first. */
export function listEvents(query: Filter<HistoryQuery>, signal?: AbortSignal): Promise<ListPage<EventView>> {
  return call('GET', '/events/history', { query, signal })
}
