import { type DnsProvider, DnsProviderError, RECORD_TTL_SECONDS, requireZone } from '../provider.ts'
import { callApi, type HttpApi, items, property, text } from './http-api.ts'
import type { ProviderReach } from './reach.ts'

/** A PowerDNS authoritative server. `url` is the root of its web server, e.g. `https://ns1.example.net:8081`. */
export type PowerDnsOptions = {
  readonly url: string
  readonly serverId: string
  readonly apiKey: string
  readonly caPem?: string | undefined
  readonly zones: readonly string[]
}

/**
 * The HTTP API of PowerDNS (docs: http-api/zone). Its change replaces all TXT values of a name, so the
 * present ones are read before; two that do so at the same moment can lose a value, which the check of
 * the propagation notices and heals.
 */
export function createPowerDnsProvider(options: PowerDnsOptions, { call }: ProviderReach): DnsProvider {
  const api: HttpApi = {
    call,
    place: `PowerDNS at ${options.url}`,
    headers: { 'x-api-key': options.apiKey },
    caPem: options.caPem,
    said: (body) => text(body, 'error'),
  }
  const root = `${options.url.replace(/\/+$/, '')}/api/v1/servers/${encodeURIComponent(options.serverId)}/zones`
  const change = async (
    fqdn: string,
    signal: AbortSignal,
    edit: (set: RecordSet) => string[] | null,
  ): Promise<void> => {
    const zoneUrl = `${root}/${requireZone(options.zones, fqdn)}.`
    const query = new URLSearchParams({ rrset_name: `${fqdn}.`, rrset_type: 'TXT' })
    const { body } = await callApi(api, { method: 'GET', url: `${zoneUrl}?${query}`, signal })
    const found = recordSet(body, fqdn)
    const contents = edit(found)
    if (contents === null) return
    const rrset =
      contents.length === 0
        ? { changetype: 'DELETE' }
        : {
            changetype: 'REPLACE',
            ttl: found.ttl ?? RECORD_TTL_SECONDS,
            records: contents.map((content) => ({ content, disabled: false })),
          }
    await callApi(api, {
      method: 'PATCH',
      url: zoneUrl,
      body: { rrsets: [{ name: `${fqdn}.`, type: 'TXT', ...rrset }] },
      signal,
    })
  }
  return {
    setTxt: (fqdn, value, signal) =>
      change(fqdn, signal, ({ contents }) => (contents.includes(`"${value}"`) ? null : [...contents, `"${value}"`])),
    removeTxt: (fqdn, value, signal) =>
      change(fqdn, signal, ({ contents }) =>
        contents.includes(`"${value}"`) ? contents.filter((content) => content !== `"${value}"`) : null,
      ),
  }
}

/** The TXT values of a name as PowerDNS writes them, in quotes. */
type RecordSet = { readonly contents: readonly string[]; readonly ttl: number | null }

function recordSet(zone: unknown, fqdn: string): RecordSet {
  const sets = property(zone, 'rrsets')
  if (!Array.isArray(sets)) throw new DnsProviderError('answer', 'PowerDNS answered with something that is no zone')
  const set = sets.find((item) => text(item, 'type') === 'TXT' && text(item, 'name')?.toLowerCase() === `${fqdn}.`)
  const ttl = property(set, 'ttl')
  const contents = items(property(set, 'records')).flatMap((record) => text(record, 'content') ?? [])
  return { contents, ttl: typeof ttl === 'number' ? ttl : null }
}
