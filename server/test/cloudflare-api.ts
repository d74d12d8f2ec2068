import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

/** A record as Cloudflare keeps it. */
export type CloudflareRecord = { id: string; type: string; name: string; content: string; ttl: number }

/** A server that follows the documented API v4 of Cloudflare, as far as zones and TXT records go. */
export type CloudflareApi = AsyncDisposable & {
  readonly url: string
  /** What is in its one zone. */
  readonly records: CloudflareRecord[]
  /** Method and path of each request, in order. */
  readonly requests: string[]
  /** The next request is answered with this status, and `Retry-After` where there is one. */
  failNext(status: number, retryAfter?: string): void
}

type Reply = { readonly status: number; readonly result?: unknown; readonly error?: { code: number; message: string } }

/** Starts it with one zone and one token. */
export async function startCloudflareApi(zone: { name: string; token: string }): Promise<CloudflareApi> {
  const records: CloudflareRecord[] = []
  const requests: string[] = []
  const zoneId = randomBytes(16).toString('hex')
  let failure: { status: number; retryAfter: string | undefined } | null = null
  const answer = async (request: IncomingMessage): Promise<Reply> => {
    const url = new URL(request.url ?? '', 'http://x')
    const base = `/client/v4/zones/${zoneId}/dns_records`
    if (request.headers.authorization !== `Bearer ${zone.token}`)
      return { status: 403, error: { code: 9109, message: 'Invalid access token' } }
    const route = `${request.method} ${url.pathname}`
    if (route === 'GET /client/v4/zones')
      return {
        status: 200,
        result: url.searchParams.get('name') === zone.name ? [{ id: zoneId, name: zone.name }] : [],
      }
    if (route === `GET ${base}`) return { status: 200, result: matching(records, url) }
    if (route === `POST ${base}`) return add(records, await text(request))
    if (route.startsWith(`DELETE ${base}/`)) return remove(records, url.pathname.slice(base.length + 1))
    return { status: 404, error: { code: 7003, message: 'Could not route to the path' } }
  }
  const server = createServer(async (request, response) => {
    requests.push(`${request.method} ${request.url}`)
    const failing = failure
    failure = null
    if (failing !== null) {
      const headers = failing.retryAfter === undefined ? {} : { 'retry-after': failing.retryAfter }
      response.writeHead(failing.status, headers)
      return send(response, { status: failing.status, error: { code: 10_000, message: 'as the test wants' } })
    }
    send(response, await answer(request))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    records,
    requests,
    failNext(status, retryAfter) {
      failure = { status, retryAfter }
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function send(response: ServerResponse, { status, result = null, error }: Reply): void {
  if (!response.headersSent) response.writeHead(status, { 'content-type': 'application/json' })
  const errors = error === undefined ? [] : [error]
  response.end(JSON.stringify({ success: error === undefined, errors, messages: [], result }))
}

function matching(records: readonly CloudflareRecord[], { searchParams }: URL): CloudflareRecord[] {
  return records.filter(
    ({ type, name }) => type === (searchParams.get('type') ?? type) && name === (searchParams.get('name') ?? name),
  )
}

function add(records: CloudflareRecord[], body: string): Reply {
  const record = JSON.parse(body) as Omit<CloudflareRecord, 'id'>
  const isThere = records.some(({ name, content }) => name === record.name && content === record.content)
  if (isThere) return { status: 400, error: { code: 81_058, message: 'An identical record already exists.' } }
  const added = { ...record, id: randomBytes(16).toString('hex') }
  records.push(added)
  return { status: 200, result: added }
}

function remove(records: CloudflareRecord[], id: string): Reply {
  const at = records.findIndex((record) => record.id === id)
  if (at === -1) return { status: 404, error: { code: 81_044, message: 'Record does not exist.' } }
  records.splice(at, 1)
  return { status: 200, result: { id } }
}
