import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fastifyStatic from '@fastify/static'
import type { FastifyInstance } from 'fastify'

const FALLBACK = '200.html'

/** The HTML of the single-page app, or null when it is not built. */
export function readPage(webFolder: string | null): string | null {
  if (webFolder === null) return null
  try {
    return readFileSync(join(webFolder, FALLBACK), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/** Serves the built UI; paths without a file are pages of the app (`sendPage`). */
export async function registerWebUi(app: FastifyInstance, webFolder: string): Promise<void> {
  await app.register(fastifyStatic, {
    root: webFolder,
    preCompressed: true,
    index: false,
    redirect: false,
    dotfiles: 'ignore',
    cacheControl: false,
    schemaHide: true,
    setHeaders(reply, path) {
      const isImmutable = path.includes('/_app/immutable/')
      reply.header('cache-control', isImmutable ? 'public, max-age=31536000, immutable' : 'no-cache')
    },
  })
  app.route({
    method: ['GET', 'HEAD'],
    url: '/',
    schema: { hide: true },
    handler: (_request, reply) => reply.sendFile(FALLBACK),
  })
}

/** Whether a path is a page of the app, and not a file or a call that is missing. */
export function isPagePath(method: string, path: string): boolean {
  const isRead = method === 'GET' || method === 'HEAD'
  return isRead && !path.startsWith('/api/') && !path.startsWith('/_app/') && !/\.[a-z0-9]+$/i.test(path)
}

/** The file that every page of the app begins with. */
export const PAGE_FILE = FALLBACK
