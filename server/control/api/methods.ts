import type { FastifyInstance } from 'fastify'

/**
 * Notes the routes as they are added; the function it returns says which methods a path has, so that
 * a wrong one is answered with 405 and `Allow` (RFC 9110 section 15.5.6) and not with 404.
 */
export function addMethodTable(app: FastifyInstance): (path: string) => string[] {
  const table = new Map<string, { pattern: RegExp; methods: Set<string> }>()
  app.addHook('onRoute', ({ url, method }) => {
    if (url.endsWith('*')) return
    const pattern = new RegExp(`^${url.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/:[^/]+/g, '[^/]+')}$`)
    const entry = table.get(url) ?? { pattern, methods: new Set() }
    for (const name of [method].flat()) entry.methods.add(name)
    table.set(url, entry)
  })
  return (path) => {
    const methods = new Set<string>()
    for (const entry of table.values())
      if (entry.pattern.test(path)) for (const method of entry.methods) methods.add(method)
    return [...methods].sort()
  }
}
