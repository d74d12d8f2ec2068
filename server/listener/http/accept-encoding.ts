import { type Encoding, encodings } from '../../contract/manifest.ts'

/**
 * The ready-made encoding that a client likes best, or null for the plain form (RFC 9110 section
 * 12.5.3). Ties go to the smaller one; the plain form wins only where the client prefers it.
 */
export function chooseEncoding(field: string | undefined, available: (encoding: Encoding) => boolean): Encoding | null {
  if (field === undefined || field.length > 1024) return null
  const qualities = parseQualities(field)
  let best: Encoding | null = null
  let bestQuality = qualities.get('identity') ?? 0
  for (const encoding of encodings) {
    const quality = qualities.get(encoding) ?? qualities.get('*') ?? 0
    const isBetter = best === null ? quality > 0 && quality >= bestQuality : quality > bestQuality
    if (isBetter && available(encoding)) {
      best = encoding
      bestQuality = quality
    }
  }
  return best
}

function parseQualities(field: string): Map<string, number> {
  const qualities = new Map<string, number>()
  for (const item of field.toLowerCase().split(',')) {
    const [name = '', ...parameters] = item.split(';').map((part) => part.trim())
    const weight = parameters.find((parameter) => parameter.startsWith('q='))
    const quality = weight === undefined ? 1 : Number(weight.slice(2))
    if (name !== '') qualities.set(name === 'x-gzip' ? 'gzip' : name, quality >= 0 && quality <= 1 ? quality : 0)
  }
  return qualities
}
