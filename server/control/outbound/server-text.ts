const DNS_PORT = 53

/** Splits `name`, `name:port`, `192.0.2.1:port`, `2001:db8::1` and `[2001:db8::1]:port`; null for anything else. */
export function readServer(server: string): { readonly host: string; readonly port: number } | null {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]\s/]+))(?::(\d{1,5}))?$/i.exec(server)
  const isBare6 = /^[0-9a-f:.]+$/i.test(server) && server.split(':').length > 2
  const host = isBare6 ? server : (match?.[1] ?? match?.[2])
  const port = isBare6 || match?.[3] === undefined ? DNS_PORT : Number(match[3])
  return host !== undefined && port > 0 && port < 65_536 ? { host, port } : null
}
