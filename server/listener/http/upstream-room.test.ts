import { closeSync, openSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import { afterAll, expect, test } from 'vitest'
import { createReach } from '../../contract/reach.ts'
import type { SiteRecord } from '../../contract/records.ts'
import { createDeadlines } from '../deadlines.ts'
import { hasDescriptors } from '../descriptors.ts'
import { createExchange, type Sent } from './exchange.ts'
import { MAX_UPSTREAM_SOCKETS } from './limits.ts'
import { serveProxy } from './proxy.ts'
import { createUpstreams } from './upstream.ts'
import { healthy } from './upstream-health.ts'

const deadlines = createDeadlines()
afterAll(() => deadlines.close())

const siteWith = (urls: readonly string[]): SiteRecord => ({
  tenantId: 't',
  kind: 'proxy',
  state: 'active',
  manifest: null,
  upstreams: urls.map((url) => ({ url, weight: 1 })),
  redirectTo: null,
  redirectStatus: null,
  isPanel: false,
})
const upstreams = createUpstreams({ reach: createReach(['127.0.0.0/8']), deadlines })

test('the connections of a site are bounded, however many upstreams it has', async () => {
  const open = new Set<Socket>()
  const server = createServer((socket) => void open.add(socket.on('error', () => undefined)))
  await new Promise<void>((resolve) => server.listen(0, resolve))
  const { port } = server.address() as { port: number }
  const group = upstreams.of('many', siteWith([1, 2, 3].map((at) => `http://127.0.0.${at}:${port}`)))
  const requests = Array.from({ length: MAX_UPSTREAM_SOCKETS + 50 }, () => {
    const peer = group.choose([])
    if (peer === null) throw new Error('no upstream')
    return group.request(peer, { method: 'GET', path: '/', fields: ['Host', 'h'] }).on('error', () => undefined)
  })
  for (const one of requests) one.end()
  try {
    await expect.poll(() => open.size, { timeout: 20_000 }).toBeGreaterThanOrEqual(MAX_UPSTREAM_SOCKETS)
    // One too many would be on its way already.
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(open.size).toBe(MAX_UPSTREAM_SOCKETS)
  } finally {
    for (const one of requests) one.destroy()
    for (const socket of open) socket.destroy()
    server.close()
  }
})

test('without descriptors a request is refused, and the upstream is not to blame', () => {
  const record = siteWith(['http://127.0.0.1:9'])
  const peer = upstreams.of('full', record).choose([])
  const statuses: number[] = []
  const connection = { remoteAddress: '192.0.2.1', tls: () => null }
  const sent = { method: 'GET', headers: {}, rawHeaders: [], hasBody: false, upgrade: null, connection }
  const wire = {
    out: new PassThrough().resume(),
    head: (status: number) => void statuses.push(status),
    sendContinue: () => undefined,
    abort: () => undefined,
  }
  const exchange = createExchange(sent as unknown as Sent, wire, deadlines, () => undefined)
  const opened: number[] = []
  try {
    while (hasDescriptors('upstream')) opened.push(openSync('/dev/null', 'r'))
    const target = { path: '/', query: '', authority: null }
    serveProxy(exchange, { upstreams, deadlines, panelHop: () => null }, 'full', record, { authority: 'h', target })
  } finally {
    for (const descriptor of opened) closeSync(descriptor)
  }
  expect(statuses).toEqual([503])
  expect(peer?.health).toEqual(healthy)
})
