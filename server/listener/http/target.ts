/** The request target in parts, as sent (not decoded): `path` begins with `/`, `query` is empty or begins with `?`. */
export type Target = {
  readonly path: string
  readonly query: string
  /** The authority of an absolute-form target, null in origin-form. */
  readonly authority: string | null
}

const ABSOLUTE = /^https?:\/\/([^/?#]*)(.*)$/i
const VISIBLE = /^[\x21-\x7e]+$/

/** Takes origin-form and absolute-form (RFC 9112 section 3.2); null for all else: answer 400. */
export function parseTarget(text: string): Target | null {
  if (!VISIBLE.test(text) || text.includes('#')) return null
  const absolute = ABSOLUTE.exec(text)
  const rest = absolute === null ? text : absolute[2] || '/'
  const mark = rest.indexOf('?')
  const path = mark < 0 ? rest : rest.slice(0, mark)
  const query = mark < 0 ? '' : rest.slice(mark)
  const rooted = path === '' && absolute !== null ? '/' : path
  return rooted.startsWith('/') ? { path: rooted, query, authority: absolute?.[1] ?? null } : null
}

/** Percent-decodes a path once, as UTF-8 in NFC; null when it is no valid encoding: answer 400. */
export function decodePath(path: string): string | null {
  try {
    return decodeURIComponent(path).normalize('NFC')
  } catch {
    return null
  }
}
