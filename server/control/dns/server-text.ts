import { readServer } from '../outbound/server-text.ts'
import { DnsProviderError } from './provider.ts'

/** See `readServer`. Throws `DnsProviderError` for what it does not read. */
export function splitServer(server: string): { readonly host: string; readonly port: number } {
  const read = readServer(server)
  if (read !== null) return read
  throw new DnsProviderError('config', `"${server}" is not a name or an address, with or without a port`)
}
