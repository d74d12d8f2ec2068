/** The permutation of RFC 2268 section 2. */
const PI = Buffer.from(
  'd978f9c419ddb5ed28e9fd794aa0d89dc67e37832b76538e624c6488448bfba2' +
    '179a59f587b34f1361456d8d09817d32bd8f40eb86b77b0bf09521225c6b4e82' +
    '54d66593ce60b21c7356c014a78cf1dc1275ca1f3bbee4d1423dd430a33cb626' +
    '6fbf0eda4669075727f21d9bbc944303f811c7f690ef3ee706c3d52fc8661ed7' +
    '08e8eade8052eef784aa72ac354d6a2a961ad2715a1549744b9fd05e0418a4ec' +
    'c2e0416e0f51cbcc2491af50a1f47039997c3a8523b8b47afc02365b25559731' +
    '2d5dfa98e38a92ae05df2910676cbac9d300e6cfe19ea82c6316013f58e289a9' +
    '0d38341bab33ffb0bb480c5fb9b1cd2ec5f3db47e5a59c770aa62068fe7fc1ad',
  'hex',
)
const BLOCK_BYTES = 8
/** Rotations of the four words in a mixing round (RFC 2268 section 3.1). */
const ROTATIONS = [1, 2, 3, 5] as const

/**
 * Deciphers RC2 in CBC mode with PKCS#7 padding (RFC 2268), for old PKCS#12 files alone: OpenSSL keeps it
 * in its legacy provider, which Node does not load. `effectiveBits` is 40 or 128 there. Throws an `Error`
 * when the length or the padding is wrong.
 */
export function decipherRc2(key: Uint8Array, effectiveBits: number, iv: Uint8Array, data: Uint8Array): Buffer {
  if (data.length === 0 || data.length % BLOCK_BYTES !== 0) throw new Error('the length is no multiple of the block')
  const words = expandKey(key, effectiveBits)
  const plain = Buffer.alloc(data.length)
  let previous = iv
  for (let at = 0; at < data.length; at += BLOCK_BYTES) {
    const block = data.subarray(at, at + BLOCK_BYTES)
    const opened = decipherBlock(words, block)
    for (let index = 0; index < BLOCK_BYTES; index += 1) plain[at + index] = byte(opened, index) ^ byte(previous, index)
    previous = block
  }
  return withoutPadding(plain)
}

function expandKey(key: Uint8Array, effectiveBits: number): Uint16Array {
  const bytes = Buffer.alloc(128)
  bytes.set(key)
  for (let index = key.length; index < 128; index += 1)
    bytes[index] = byte(PI, (byte(bytes, index - 1) + byte(bytes, index - key.length)) & 255)
  const effectiveBytes = Math.ceil(effectiveBits / 8)
  const mask = 255 >> (8 * effectiveBytes - effectiveBits)
  bytes[128 - effectiveBytes] = byte(PI, byte(bytes, 128 - effectiveBytes) & mask)
  for (let index = 127 - effectiveBytes; index >= 0; index -= 1)
    bytes[index] = byte(PI, byte(bytes, index + 1) ^ byte(bytes, index + effectiveBytes))
  return Uint16Array.from({ length: 64 }, (_, index) => bytes.readUInt16LE(index * 2))
}

/** Sixteen mixing rounds backwards; a mashing round lies after the fifth and the eleventh. */
function decipherBlock(words: Uint16Array, block: Uint8Array): Buffer {
  const view = Buffer.from(block)
  const r = Uint16Array.from({ length: 4 }, (_, index) => view.readUInt16LE(index * 2))
  const at = (index: number): number => r[index & 3] ?? 0
  for (let round = 15; round >= 0; round -= 1) {
    for (let index = 3; index >= 0; index -= 1) {
      const turn = ROTATIONS[index] ?? 0
      const turned = ((at(index) >>> turn) | (at(index) << (16 - turn))) & 0xffff
      const mixed = (words[round * 4 + index] ?? 0) + (at(index + 3) & at(index + 2)) + (~at(index + 3) & at(index + 1))
      r[index] = turned - mixed
    }
    if (round !== 11 && round !== 5) continue
    for (let index = 3; index >= 0; index -= 1) r[index] = at(index) - (words[at(index + 3) & 63] ?? 0)
  }
  for (let index = 0; index < 4; index += 1) view.writeUInt16LE(at(index), index * 2)
  return view
}

function withoutPadding(plain: Buffer): Buffer {
  const length = plain.at(-1) ?? 0
  const padding = plain.subarray(plain.length - length)
  if (length < 1 || length > BLOCK_BYTES || padding.some((value) => value !== length))
    throw new Error('the padding is wrong')
  return plain.subarray(0, plain.length - length)
}

function byte(bytes: Uint8Array, index: number): number {
  return bytes[index] ?? 0
}
