import { matchesPath } from '../../contract/site-options.ts'

/** What readers of a path understand differently. Without any of it there is one reading. */
const AMBIGUOUS = /[\\;?#]|\/[/.]/

/**
 * Whether one of the patterns protects a decoded path, in any reading that an upstream may have of it: `//a`,
 * `/b/../a`, `/b\..\a`, `/b%3F/../a` and `/b/..;/a` may all be `/a`. A path is protected with all that is below
 * it, whether its pattern says so by `/*` or not: an open `/a/index.html` would make the lock of `/a` a mistake.
 */
export function isProtected(patterns: readonly string[], path: string): boolean {
  const readings = AMBIGUOUS.test(path) ? readingsOf(path) : [path]
  return patterns.some((pattern) =>
    readings.some((one) => matchesPath(pattern, one) || matchesPath(belowOf(pattern), `${one}/`)),
  )
}

/** The pattern of what a pattern protects as a folder. */
function belowOf(pattern: string): string {
  return pattern.endsWith('*') ? pattern : `${pattern.replace(/\/$/, '')}/*`
}

function readingsOf(path: string): string[] {
  const slashed = path.replaceAll('\\', '/')
  const spellings = [path, slashed, slashed.replace(/\/+/g, '/')]
  const texts = spellings.flatMap((text) => [text, text.replace(/;[^/\\]*/g, '')])
  return [path, ...texts.flatMap(withoutDots)]
}

/** Dots are taken out as RFC 3986 section 5.2.4 says: once where `?` and `#` end the path, once where they are in it. */
function withoutDots(text: string): string[] {
  const sent = encodeURI(text)
  return [sent, sent.replace(/[?#]/g, encodeURIComponent)].flatMap((one) => {
    const plain = URL.parse(`http://host${one}`)?.pathname
    // Each `%` of it was written by `encodeURI`: nothing here is no valid encoding.
    return plain === undefined ? [] : [decodeURIComponent(plain)]
  })
}
