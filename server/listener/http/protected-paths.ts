import { matchesPath } from '../../contract/site-options.ts'

/** What readers of a path understand differently. Without any of it there is one reading. */
const AMBIGUOUS = /[\\;?#]|\/[/.]/

/**
 * Whether one of the patterns protects a decoded path, in any reading that an upstream may have of it: `//a`,
 * `/b/../a`, `/b\..\a`, `/b%3F/../a` and `/b/..;/a` may all be `/a`. A folder is protected with what is in it.
 */
export function isProtected(patterns: readonly string[], path: string): boolean {
  const readings = AMBIGUOUS.test(path) ? readingsOf(path) : [path]
  return patterns.some((pattern) =>
    readings.some((one) => matchesPath(pattern, one) || matchesPath(pattern, `${one}/`)),
  )
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
