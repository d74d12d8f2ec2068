import { promisify } from 'node:util'
import { brotliCompress, constants, gzip, zstdCompress } from 'node:zlib'
import type { Encoding } from '../../contract/manifest.ts'
import { createLimiter } from '../jobs/limit.ts'

/** Smaller files gain nothing that a visitor would feel. */
export const MIN_COMPRESSED_BYTES = 512
/** Larger ones are held in memory to be compressed, which is not worth it. */
export const MAX_COMPRESSED_BYTES = 16 * 1024 * 1024

/** Of the four threads that Node has for zlib, files and DNS. */
const ZLIB_JOBS = 2
/** Nearly as small as 11 at a tenth of its time. */
const BROTLI_QUALITY = 9
/** Beyond this zstd gains less than a hundredth for twice the time. */
const ZSTD_LEVEL = 15

const brotli = promisify(brotliCompress)
const deflate = promisify(gzip)
const zstandard = promisify(zstdCompress)

/** Compresses content in each encoding that a release holds ready-made; leaves out what does not get smaller. */
export type Compressor = (content: Buffer) => Promise<Partial<Record<Encoding, Buffer>>>

/** Makes the one compressor of the process: at most two compressions at a time, in the thread pool. */
export function createCompressor(): Compressor {
  const slot = createLimiter(ZLIB_JOBS)
  return async (content) => {
    const params = {
      [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY,
      [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT,
      [constants.BROTLI_PARAM_SIZE_HINT]: content.length,
    }
    const [br, zstd, gz] = await Promise.all([
      slot(() => brotli(content, { params })),
      slot(() => zstandard(content, { params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL } })),
      slot(() => deflate(content, { level: constants.Z_BEST_COMPRESSION })),
    ])
    return {
      ...(br.length < content.length ? { br } : {}),
      ...(zstd.length < content.length ? { zstd } : {}),
      ...(gz.length < content.length ? { gzip: gz } : {}),
    }
  }
}
