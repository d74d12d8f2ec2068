/** DER (X.690) as far as certificates and requests need it; written apart from the libraries that the product uses. */

/** One element that was read: its tag octet, its content, and all of its octets. */
export type Element = { readonly tag: number; readonly content: Buffer; readonly bytes: Buffer }

export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectId: 0x06,
  utf8: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const

/** An element of a tag around the parts. */
export function tlv(tag: number, ...parts: readonly Buffer[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  return Buffer.concat([Buffer.from([tag]), lengthOctets(length), ...parts])
}

export function sequence(...parts: readonly Buffer[]): Buffer {
  return tlv(tags.sequence, ...parts)
}

/** `[number]` EXPLICIT around the parts. */
export function explicit(number: number, ...parts: readonly Buffer[]): Buffer {
  return tlv(0xa0 | number, ...parts)
}

/** A non-negative INTEGER of big-endian octets: no needless zeros, one before a high bit. */
export function integer(octets: Buffer): Buffer {
  return tlv(tags.integer, integerContent(octets))
}

/** The content octets of a non-negative INTEGER, as RFC 9773 section 4.1 puts a serial number into a certID. */
export function integerContent(octets: Buffer): Buffer {
  let at = 0
  while (at < octets.length - 1 && octets[at] === 0) at++
  const shortest = octets.subarray(at)
  return ((shortest[0] ?? 0) & 0x80) === 0 ? shortest : Buffer.concat([Buffer.from([0]), shortest])
}

export function objectId(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number)
  return tlv(tags.objectId, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]))
}

export function bitString(bytes: Buffer, unusedBits = 0): Buffer {
  return tlv(tags.bitString, Buffer.from([unusedBits]), bytes)
}

export function octetString(...parts: readonly Buffer[]): Buffer {
  return tlv(tags.octetString, ...parts)
}

/** UTCTime until 2049, then GeneralizedTime (RFC 5280 section 4.1.2.5). Whole seconds. */
export function time(ms: number): Buffer {
  const text = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, '')
  const isEarly = new Date(ms).getUTCFullYear() < 2050
  return isEarly ? tlv(tags.utcTime, Buffer.from(text.slice(2))) : tlv(tags.generalizedTime, Buffer.from(text))
}

/** Reads the element at an offset. Throws `RangeError` when it is cut off or its length is no DER. */
export function readElement(bytes: Buffer, at = 0): Element {
  const tag = bytes[at]
  const first = bytes[at + 1]
  if (tag === undefined || first === undefined) throw new RangeError('DER: an element is cut off')
  if ((tag & 0x1f) === 0x1f) throw new RangeError('DER: a tag of several octets')
  let start = at + 2
  let length = first
  if (first >= 0x80) {
    const count = first & 0x7f
    if (count === 0 || count > 3 || start + count > bytes.length) throw new RangeError('DER: an unusable length')
    length = bytes.readUIntBE(start, count)
    start += count
    if (length < 0x80) throw new RangeError('DER: a length that is longer than needed')
  }
  if (start + length > bytes.length) throw new RangeError('DER: an element is cut off')
  return { tag, content: bytes.subarray(start, start + length), bytes: bytes.subarray(at, start + length) }
}

/** The elements inside one. Throws like `readElement`. */
export function readChildren(content: Buffer): Element[] {
  const elements: Element[] = []
  for (let at = 0; at < content.length; ) {
    const element = readElement(content, at)
    elements.push(element)
    at += element.bytes.length
  }
  return elements
}

/** The dotted form of an OBJECT IDENTIFIER's content. */
export function objectIdText(content: Buffer): string {
  const numbers: number[] = []
  let value = 0
  for (const octet of content) {
    value = value * 128 + (octet & 0x7f)
    if ((octet & 0x80) !== 0) continue
    numbers.push(value)
    value = 0
  }
  const [first = 0, ...rest] = numbers
  const head = Math.min(Math.floor(first / 40), 2)
  return [head, first - head * 40, ...rest].join('.')
}

/** The content of a BIT STRING without unused bits. Throws `RangeError` for another element. */
export function bitStringBytes(element: Element | undefined): Buffer {
  if (element?.tag !== tags.bitString || element.content[0] !== 0) throw new RangeError('DER: no BIT STRING of octets')
  return element.content.subarray(1)
}

function lengthOctets(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length])
  const octets: number[] = []
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) octets.unshift(rest % 256)
  return Buffer.from([0x80 | octets.length, ...octets])
}

function base128(value: number): number[] {
  const octets = [value & 0x7f]
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) octets.unshift(0x80 | (rest & 0x7f))
  return octets
}
