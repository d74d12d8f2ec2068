import { type DnsProvider, DnsProviderError, RECORD_TTL_SECONDS, requireZone } from '../provider.ts'
import { callApi, type HttpApi, items, property, text } from './http-api.ts'
import type { ProviderReach } from './reach.ts'

const API_URL = 'https://api.cloudflare.com'
/** "An identical record already exists": what we wanted. */
const IDENTICAL = 81_058
/** Records of one name that are looked at; Cloudflare's largest page is larger. */
const PAGE = 100

/** A zone at Cloudflare. The token needs Zone:Read and DNS:Edit for its zones. */
export type CloudflareOptions = { readonly apiToken: string; readonly zones: readonly string[] }

/** Cloudflare's API v4 (developers.cloudflare.com/api: zones, dns_records). Each value is a record of its own. */
export function createCloudflareProvider(
  options: CloudflareOptions,
  { call, cloudflareUrl = API_URL }: ProviderReach,
): DnsProvider {
  const api: HttpApi = {
    call,
    place: 'Cloudflare',
    headers: { authorization: `Bearer ${options.apiToken}` },
    said: (body) => text(items(property(body, 'errors'))[0], 'message'),
  }
  const root = `${cloudflareUrl}/client/v4/zones`
  const zoneUrl = async (fqdn: string, signal: AbortSignal): Promise<string> => {
    const zone = requireZone(options.zones, fqdn)
    const query = new URLSearchParams({ name: zone })
    const { body } = await callApi(api, { method: 'GET', url: `${root}?${query}`, signal })
    const id = text(items(property(body, 'result'))[0], 'id')
    if (id !== null && /^[0-9a-zA-Z_-]{1,64}$/.test(id)) return `${root}/${id}/dns_records`
    throw new DnsProviderError('zone', `Cloudflare has no zone ${zone} that this token may read`)
  }
  return {
    async setTxt(fqdn, value, signal) {
      await callApi(api, {
        method: 'POST',
        url: await zoneUrl(fqdn, signal),
        body: { type: 'TXT', name: fqdn, content: `"${value}"`, ttl: RECORD_TTL_SECONDS },
        signal,
        accepts: (_, body) => items(property(body, 'errors')).some((error) => property(error, 'code') === IDENTICAL),
      })
    },
    async removeTxt(fqdn, value, signal) {
      const url = await zoneUrl(fqdn, signal)
      const query = new URLSearchParams({ type: 'TXT', name: fqdn, per_page: String(PAGE) })
      const { body } = await callApi(api, { method: 'GET', url: `${url}?${query}`, signal })
      for (const record of items(property(body, 'result'))) {
        const id = text(record, 'id')
        if (id === null || !/^[0-9a-zA-Z_-]{1,64}$/.test(id) || text(record, 'name')?.toLowerCase() !== fqdn) continue
        if (text(record, 'content')?.replace(/^"(.*)"$/, '$1') !== value) continue
        const accepts = (status: number): boolean => status === 404
        await callApi(api, { method: 'DELETE', url: `${url}/${id}`, signal, accepts })
      }
    },
  }
}
