import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { encodings } from '../../contract/manifest.ts'
import { createCompressor } from './compress.ts'

const compress = createCompressor()
const decoders = { br: brotliDecompressSync, zstd: zstdDecompressSync, gzip: gunzipSync }

test('content is made in every encoding, each of which gives it back', async () => {
  const content = Buffer.from('many sites behind one address. '.repeat(200))
  const made = await compress(content)
  for (const encoding of encodings) {
    const form = made[encoding]
    expect(form === undefined || form.length >= content.length).toBe(false)
    expect(decoders[encoding](form ?? Buffer.alloc(0)).equals(content)).toBe(true)
  }
})

test('what does not get smaller is left out', async () => {
  expect(await compress(Buffer.from([1, 2, 3]))).toEqual({})
})
