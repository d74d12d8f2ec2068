import { createServer, type ServerResponse } from 'node:http'
import type { Logger } from './log.ts'
import type { Listen } from './settings.ts'

/** Pause before a port that is taken is tried again: a predecessor that is being replaced may have it. */
const RETRY_MS = 2_000
const REQUEST_LIMIT_MS = 10_000

/** An answer of the metrics address. */
export type Page = { readonly type: string; readonly body: string }

/** Serves pages on the metrics address. */
export type MetricsServer = {
  /** The port that is bound, or null while none is. */
  readonly port: number | null
  close(): Promise<void>
}

/**
 * Serves `GET` of these paths. That the port is taken is told once and tried again: measuring never stops serving.
 * No page is for strangers: the address should be one that only operators reach.
 */
export function startMetricsServer(deps: {
  readonly listen: Listen
  readonly pages: Readonly<Record<string, () => Promise<Page> | Page>>
  readonly log: Logger
}): MetricsServer {
  const { listen, pages, log } = deps
  let isClosed = false
  let isTold = false
  let retry: NodeJS.Timeout | undefined
  const server = createServer(
    { requestTimeout: REQUEST_LIMIT_MS, headersTimeout: REQUEST_LIMIT_MS },
    (request, response) => {
      // Not read as a URL: `//` is none.
      const path = (request.url ?? '/').split('?', 1)[0] ?? '/'
      const page = Object.hasOwn(pages, path) ? pages[path] : undefined
      if (request.method !== 'GET' && request.method !== 'HEAD') answer(response, 405, 'only GET\n')
      else if (page === undefined) answer(response, 404, `${Object.keys(pages).join('\n')}\n`)
      else void show(response, page, log)
    },
  )
  server.maxConnections = 100
  const bind = (): void => {
    // An error may also come from a server that listens, as when no descriptor is free.
    if (!isClosed && !server.listening) server.listen({ port: listen.port, host: listen.address ?? '::' })
  }
  server.on('error', (err) => {
    if (!isTold)
      log.warn({ err, port: listen.port }, 'metrics cannot be served (NAMEPLATE_METRICS_LISTEN); trying again')
    isTold = true
    retry = setTimeout(bind, RETRY_MS).unref()
  })
  bind()
  return {
    get port() {
      const address = server.address()
      return address !== null && typeof address === 'object' ? address.port : null
    },
    async close() {
      isClosed = true
      clearTimeout(retry)
      server.closeAllConnections()
      if (server.listening) await new Promise((resolve) => server.close(resolve))
    },
  }
}

async function show(response: ServerResponse, page: () => Promise<Page> | Page, log: Logger): Promise<void> {
  try {
    const { type, body } = await page()
    answer(response, 200, body, type)
  } catch (err) {
    log.warn({ err }, 'a page of the metrics address failed')
    answer(response, 500, 'this failed; the log says why\n')
  }
}

function answer(response: ServerResponse, status: number, body: string, type = 'text/plain; charset=utf-8'): void {
  const fields = { 'content-type': type, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' }
  response.writeHead(status, fields).end(body)
}
