/** Longest path of a file within a release, in bytes of UTF-8. */
export const MAX_PATH_BYTES = 1024

/** What a name in an archive means: a path to keep, a name to leave out, or why it is refused. */
export type ArchivePath =
  | { readonly kind: 'keep'; readonly path: string }
  | { readonly kind: 'skip' }
  | { readonly kind: 'refuse'; readonly reason: string }

const skip: ArchivePath = { kind: 'skip' }

/**
 * Judges the name of a file in an archive. A path that is kept is relative, in NFC, with single `/`
 * between segments and no dot segments. Left out are macOS's own files and hidden ones (`.git`,
 * `.env`), but not `.well-known`.
 */
export function archivePath(name: string): ArchivePath {
  const reason = refusal(name)
  if (reason !== null) return { kind: 'refuse', reason }
  const segments = name
    .normalize('NFC')
    .split('/')
    .filter((segment) => segment !== '' && segment !== '.')
  if (segments.length === 0 || segments[0] === '__MACOSX') return skip
  if (segments.some((segment) => segment.startsWith('.') && segment !== '.well-known')) return skip
  const path = segments.join('/')
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
    return { kind: 'refuse', reason: `has a path longer than ${MAX_PATH_BYTES} bytes. Shorten its name` }
  }
  return { kind: 'keep', path }
}

/** The single folder that all paths are in, to be stripped, or null. `.well-known` has its place and stays. */
export function commonFolder(paths: readonly string[]): string | null {
  const [first] = paths
  if (first === undefined || !first.includes('/')) return null
  const folder = first.slice(0, first.indexOf('/'))
  if (folder === '.well-known') return null
  return paths.every((path) => path.startsWith(`${folder}/`)) ? folder : null
}

/** A name as it is shown in an error: quoted, control characters escaped, not endless. */
export function quoted(name: string): string {
  return JSON.stringify(name.length > 120 ? `${name.slice(0, 120)}…` : name)
}

function refusal(name: string): string | null {
  if (name.includes('\\')) return 'has a backslash in its name. Make the archive with "/" between folders'
  if (name.startsWith('/') || /^[A-Za-z]:/.test(name)) {
    return 'has an absolute path. Make the archive from inside the folder of your site'
  }
  if (name.split('/').includes('..')) {
    return 'points outside of the archive (".."). Make the archive from inside the folder of your site'
  }
  if (hasControl(name)) return 'has a control character in its name. Rename it'
  if (name.includes('\uFFFD')) return 'has a name that is not UTF-8. Rename it'
  return null
}

/** C0, DEL and C1. */
function hasControl(name: string): boolean {
  for (const character of name) {
    const code = character.codePointAt(0) ?? 0
    if (code < 0x20 || (code >= 0x7f && code <= 0x9f)) return true
  }
  return false
}
