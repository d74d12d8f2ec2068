/** A Content-Type and whether its content shrinks when compressed. */
export type ContentType = { readonly type: string; readonly isCompressible: boolean }

const text = (type: string): ContentType => ({ type: `${type}; charset=utf-8`, isCompressible: true })
const plain = (type: string): ContentType => ({ type, isCompressible: true })
const packed = (type: string): ContentType => ({ type, isCompressible: false })

/** By extension, in lower case. Text is said to be UTF-8 (what every tool writes today). */
const types: ReadonlyMap<string, ContentType> = new Map([
  ['html', text('text/html')],
  ['htm', text('text/html')],
  ['css', text('text/css')],
  ['js', text('text/javascript')],
  ['mjs', text('text/javascript')],
  ['cjs', text('text/javascript')],
  ['txt', text('text/plain')],
  ['md', text('text/markdown')],
  ['csv', text('text/csv')],
  ['ics', text('text/calendar')],
  ['vcf', text('text/vcard')],
  ['vtt', text('text/vtt')],
  ['xml', text('application/xml')],
  ['xsl', text('application/xml')],
  ['xhtml', text('application/xhtml+xml')],
  ['rss', text('application/rss+xml')],
  ['atom', text('application/atom+xml')],
  ['svg', text('image/svg+xml')],
  ['json', plain('application/json')],
  ['map', plain('application/json')],
  ['jsonld', plain('application/ld+json')],
  ['geojson', plain('application/geo+json')],
  ['webmanifest', plain('application/manifest+json')],
  ['yaml', plain('application/yaml')],
  ['yml', plain('application/yaml')],
  ['wasm', plain('application/wasm')],
  ['rtf', plain('application/rtf')],
  ['ttf', plain('font/ttf')],
  ['otf', plain('font/otf')],
  ['eot', plain('application/vnd.ms-fontobject')],
  ['ico', plain('image/x-icon')],
  ['bmp', plain('image/bmp')],
  ['glb', plain('model/gltf-binary')],
  ['gltf', plain('model/gltf+json')],
  ['woff', packed('font/woff')],
  ['woff2', packed('font/woff2')],
  ['png', packed('image/png')],
  ['apng', packed('image/apng')],
  ['jpg', packed('image/jpeg')],
  ['jpeg', packed('image/jpeg')],
  ['gif', packed('image/gif')],
  ['webp', packed('image/webp')],
  ['avif', packed('image/avif')],
  ['heic', packed('image/heic')],
  ['jxl', packed('image/jxl')],
  ['tif', packed('image/tiff')],
  ['tiff', packed('image/tiff')],
  ['mp3', packed('audio/mpeg')],
  ['m4a', packed('audio/mp4')],
  ['aac', packed('audio/aac')],
  ['ogg', packed('audio/ogg')],
  ['oga', packed('audio/ogg')],
  ['opus', packed('audio/ogg')],
  ['wav', packed('audio/wav')],
  ['flac', packed('audio/flac')],
  ['mp4', packed('video/mp4')],
  ['m4v', packed('video/mp4')],
  ['webm', packed('video/webm')],
  ['ogv', packed('video/ogg')],
  ['mov', packed('video/quicktime')],
  ['pdf', packed('application/pdf')],
  ['epub', packed('application/epub+zip')],
  ['zip', packed('application/zip')],
  ['gz', packed('application/gzip')],
  ['tgz', packed('application/gzip')],
  ['bz2', packed('application/x-bzip2')],
  ['xz', packed('application/x-xz')],
  ['zst', packed('application/zstd')],
  ['7z', packed('application/x-7z-compressed')],
  ['rar', packed('application/vnd.rar')],
  ['jar', packed('application/java-archive')],
  ['apk', packed('application/vnd.android.package-archive')],
])

/** Files without an extension that have a meaning of their own (RFC 8615 and Apple's file are JSON without saying so). */
const named: ReadonlyMap<string, ContentType> = new Map([
  ['apple-app-site-association', plain('application/json')],
  ['CNAME', text('text/plain')],
  ['LICENSE', text('text/plain')],
  ['README', text('text/plain')],
])

/** The Content-Type of a path in a release; `application/octet-stream` where nothing is known. */
export function contentType(path: string): ContentType {
  const name = path.slice(path.lastIndexOf('/') + 1)
  const dot = name.lastIndexOf('.')
  const known = dot === -1 ? named.get(name) : types.get(name.slice(dot + 1).toLowerCase())
  return known ?? packed('application/octet-stream')
}
