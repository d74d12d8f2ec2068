import { Resolver } from 'node:dns/promises'
import { isIP } from 'node:net'
import { AcmeProblem } from './problem.ts'
import type { Settings } from './settings.ts'

/** What validation asks of DNS. */
export type NameResolver = {
  /** IPv6 first, as Let's Encrypt tries them. Throws `dns` when there are none. */
  addresses(name: string): Promise<string[]>
  /** TXT values; empty when the name has none or does not exist. Throws `dns` on SERVFAIL and silence. */
  texts(name: string): Promise<string[]>
  close(): void
}

const missing = new Set(['ENODATA', 'ENOTFOUND'])

/** A resolver that asks the configured server; without one every name is 127.0.0.1. */
export function createResolver({
  dnsServer,
  validationTimeoutMs,
}: Pick<Settings, 'dnsServer' | 'validationTimeoutMs'>): NameResolver {
  if (dnsServer === null) {
    return {
      addresses: async (name) => [isIP(name) === 0 ? '127.0.0.1' : name],
      texts: async () => [],
      close: () => undefined,
    }
  }
  const resolver = new Resolver({ timeout: Math.ceil(validationTimeoutMs / 2), tries: 2 })
  resolver.setServers([dnsServer])
  const ask = (what: string, name: string, lookup: () => Promise<string[]>): Promise<string[]> =>
    lookup().catch((error: NodeJS.ErrnoException) => {
      if (missing.has(error.code ?? '')) return []
      throw new AcmeProblem('dns', `DNS problem: ${reasonOf(error.code)} looking up ${what} for ${name}`)
    })
  return {
    async addresses(name) {
      if (isIP(name) !== 0) return [name]
      const [four, six] = await Promise.all([
        ask('A', name, () => resolver.resolve4(name)),
        ask('AAAA', name, () => resolver.resolve6(name)),
      ])
      if (four.length + six.length > 0) return [...six, ...four]
      throw new AcmeProblem(
        'dns',
        `DNS problem: NXDOMAIN looking up A for ${name} - check that a DNS record exists for this domain`,
      )
    },
    texts: (name) => ask('TXT', name, async () => (await resolver.resolveTxt(name)).map((parts) => parts.join(''))),
    close: () => resolver.cancel(),
  }
}

function reasonOf(code: string | undefined): string {
  if (code === 'ESERVFAIL') return 'SERVFAIL'
  if (code === 'ETIMEOUT') return 'query timed out'
  return code ?? 'a failure'
}
