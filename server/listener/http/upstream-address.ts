/** An upstream's URL in parts: `host` without brackets, `basePath` without its last slash. */
export type UpstreamAddress = {
  readonly isTls: boolean
  readonly host: string
  readonly port: number
  readonly basePath: string
}

/** Reads an upstream's URL; null for what is neither http nor https. */
export function parseUpstream(text: string): UpstreamAddress | null {
  const url = URL.parse(text)
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) return null
  const isTls = url.protocol === 'https:'
  const host = url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname
  const port = url.port === '' ? (isTls ? 443 : 80) : Number(url.port)
  return { isTls, host, port, basePath: url.pathname.replace(/\/+$/, '') }
}
