import { createHmac } from 'node:crypto'
import { type DnsProvider, requireZone } from '../provider.ts'
import { callApi, type HttpApi, text } from './http-api.ts'
import type { ProviderReach } from './reach.ts'

/** A program of the owner's that is called by HTTP. */
export type WebhookOptions = {
  readonly url: string
  readonly key: string
  readonly caPem?: string | undefined
  readonly zones: readonly string[]
}

/**
 * The signature of a call: hexadecimal HMAC-SHA256 over `<timestamp>.<body>`. The receiver compares it, and
 * refuses timestamps (seconds) that are old, so that nothing that was overheard can be sent again.
 */
export function webhookSignature(key: string, timestamp: number, body: string): string {
  return createHmac('sha256', key).update(`${timestamp}.${body}`).digest('hex')
}

/** POSTs `{action: "set" | "remove", fqdn, value, zone, timestamp}`; any 2xx means that it is done. */
export function createWebhookProvider(options: WebhookOptions, { call }: ProviderReach): DnsProvider {
  const api: HttpApi = {
    call,
    place: 'the webhook',
    headers: {},
    caPem: options.caPem,
    said: (body) => text(body, 'detail'),
  }
  const post = async (action: 'set' | 'remove', fqdn: string, value: string, signal: AbortSignal): Promise<void> => {
    const timestamp = Math.floor(Date.now() / 1000)
    const body = { action, fqdn, value, zone: requireZone(options.zones, fqdn), timestamp }
    const headers = {
      'nameplate-timestamp': String(timestamp),
      'nameplate-signature': `v1=${webhookSignature(options.key, timestamp, JSON.stringify(body))}`,
    }
    await callApi(api, { method: 'POST', url: options.url, body, headers, signal })
  }
  return {
    setTxt: (fqdn, value, signal) => post('set', fqdn, value, signal),
    removeTxt: (fqdn, value, signal) => post('remove', fqdn, value, signal),
  }
}
