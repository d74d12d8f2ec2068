import type { Client, Order } from 'acme-client'
import { toRemoteOrder } from './acme-answers.ts'
import type { AcmeSession } from './acme-session.ts'
import type { RemoteOrder } from './issuer.ts'

/** Orders of an account that are looked through; the lost one is among the newest or not told at all. */
const MAX_PAGES = 50
const MAX_URLS = 20_000

/** The calls of acme-client by which a list is read: POST-as-GET (RFC 8555 section 6.3). */
type Reader = { api: { apiRequest(url: string, payload: null, statuses: number[]): Promise<Answer> } }
type Answer = { readonly data: unknown; readonly headers: Readonly<Record<string, unknown>> }

/**
 * Looks through the account's list of orders (RFC 8555 section 7.1.2.1) for one that can still be
 * fulfilled, is for just these names, and that nobody keeps. CAs need not have the list; then null.
 */
export async function findOrder(
  session: AcmeSession,
  names: readonly string[],
  known: (urls: readonly string[]) => Promise<ReadonlySet<string>>,
): Promise<RemoteOrder | null> {
  const urls = await session.call((client) => listOrders(client))
  const kept = await known(urls)
  for (const url of urls.filter((item) => !kept.has(item))) {
    const order = await session.call((client) => client.getOrder({ url } as Order))
    if (!isFor(order, names) || order.status === 'invalid' || order.status === 'valid') continue
    return toRemoteOrder(order, null)
  }
  return null
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
