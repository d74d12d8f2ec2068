import type { Client, Order } from 'acme-client'
import { toRemoteOrder } from './acme-answers.ts'
import type { AcmeSession } from './acme-session.ts'
import type { RemoteOrder } from './issuer.ts'

/** Orders of an account that are looked through; the lost one is among the newest or not told at all. */
const MAX_PAGES = 50
const MAX_URLS = 20_000
/** Orders that nobody keeps and that are read; there is one for each process that died, at most. */
const MAX_LOST = 100
/** One look serves all that were lost together: who asks lost its order longer ago than this. */
const KEPT_MS = 5_000

/** The calls of acme-client by which a list is read: POST-as-GET (RFC 8555 section 6.3). */
type Reader = { api: { apiRequest(url: string, payload: null, statuses: number[]): Promise<Answer> } }
type Answer = { readonly data: unknown; readonly headers: Readonly<Record<string, unknown>> }
type Known = (urls: readonly string[]) => Promise<ReadonlySet<string>>

/** See `Issuer.findOrder`. */
export type OrderFinder = (names: readonly string[], known: Known) => Promise<RemoteOrder | null>

/**
 * Looks through the account's list of orders (RFC 8555 section 7.1.2.1) for one that can still be
 * fulfilled, is for just these names, and that nobody keeps. CAs need not have the list; then null.
 */
export function createOrderFinder(session: AcmeSession): OrderFinder {
  let kept: { readonly at: number; readonly lost: Promise<Order[]> } | null = null
  return async (names, known) => {
    if (kept === null || Date.now() - kept.at > KEPT_MS) kept = { at: Date.now(), lost: lostOrders(session, known) }
    const { lost } = kept
    const orders = await lost.catch((error: unknown) => {
      if (kept?.lost === lost) kept = null
      throw error
    })
    const found = orders.find((order) => isFor(order, names))
    return found === undefined ? null : toRemoteOrder(found, null)
  }
}

/** The orders of the account that nobody keeps, and that can still be fulfilled. */
async function lostOrders(session: AcmeSession, known: Known): Promise<Order[]> {
  const urls = await session.call((client) => listOrders(client))
  const ours = await known(urls)
  const orders: Order[] = []
  for (const url of urls.filter((item) => !ours.has(item)).slice(-MAX_LOST)) {
    const order = await session.call((client) => client.getOrder({ url } as Order))
    if (order.status !== 'invalid' && order.status !== 'valid') orders.push(order)
  }
  return orders
}

async function listOrders(client: Client): Promise<string[]> {
  const { api } = client as unknown as Reader
  const account = (await api.apiRequest(client.getAccountUrl(), null, [200])).data as { orders?: unknown } | null
  const urls: string[] = []
  let next = typeof account?.orders === 'string' ? account.orders : null
  for (let page = 0; next !== null && page < MAX_PAGES && urls.length < MAX_URLS; page += 1) {
    const answer: Answer = await api.apiRequest(next, null, [200])
    const listed = (answer.data as { orders?: unknown } | null)?.orders
    if (Array.isArray(listed)) urls.push(...listed.filter((item) => typeof item === 'string'))
    next = nextPage(answer.headers.link)
  }
  return urls
}

/** The `next` of a Link header (RFC 8288); there may be several headers of the name. */
function nextPage(header: unknown): string | null {
  const links = [header].flat().filter((item) => typeof item === 'string')
  const match = /<([^>]+)>\s*;[^,]*\brel="?next"?/.exec(links.join(', '))
  return match?.[1] ?? null
}

function isFor(order: Order, names: readonly string[]): boolean {
  const ordered = Array.isArray(order.identifiers) ? order.identifiers.map(({ value }) => value.toLowerCase()) : []
  return ordered.length === names.length && names.every((name) => ordered.includes(name.toLowerCase()))
}
