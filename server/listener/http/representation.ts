import type { BlobRef, Encoding, ManifestFile } from '../../contract/manifest.ts'
import { matchesPath, type SiteOptions } from '../../contract/site-options.ts'
import { chooseEncoding } from './accept-encoding.ts'
import type { Validators } from './conditional.ts'
import type { Fields } from './exchange.ts'
import type { ReleaseFiles } from './manifest-cache.ts'

/** One form of a file as it goes out. The fields are without length and range. */
export type Representation = Validators & { readonly ref: BlobRef; readonly fields: Fields }

/** A new release is seen at once; a visit costs a 304 where nothing changed. */
const ALWAYS_ASK = 'public, max-age=0, must-revalidate'

/** The form of a file that a client likes best. `path` is the decoded path of the request, for the cache rules. */
export function representationOf(
  file: ManifestFile,
  release: Pick<ReleaseFiles, 'lastModified'>,
  options: SiteOptions,
  path: string,
  acceptEncoding: string | undefined,
): Representation {
  const encoding = chooseEncoding(acceptEncoding, (name) => file.encoded[name] !== undefined)
  const ref = (encoding === null ? undefined : file.encoded[encoding]) ?? file
  const etag = `"${file.digest}${encoding === null ? '' : `-${encoding}`}"`
  const cacheControl = options.cache.find((rule) => matchesPath(rule.path, path))?.cacheControl ?? ALWAYS_ASK
  const { lastModified } = release
  return { ref, etag, lastModified, fields: fieldsOf(file, encoding, etag, lastModified, cacheControl) }
}

function fieldsOf(
  file: ManifestFile,
  encoding: Encoding | null,
  etag: string,
  lastModified: string,
  cacheControl: string,
): Fields {
  const fields: [string, string][] = [
    ['content-type', file.type],
    ['etag', etag],
    ['last-modified', lastModified],
    ['accept-ranges', 'bytes'],
    ['cache-control', cacheControl],
    ['x-content-type-options', 'nosniff'],
  ]
  if (encoding !== null) fields.push(['content-encoding', encoding])
  if (Object.keys(file.encoded).length > 0) fields.push(['vary', 'accept-encoding'])
  return fields
}
