import * as asn1 from 'asn1js'

/** A value that is not what its place asks for. `message` says what was expected. */
export class DerError extends Error {
  override name = 'DerError'
}

/** One value of a DER or BER encoding. */
export type DerNode = asn1.AsnType

/** Reads one value; anything after it is an error. Throws `DerError`. */
export function readDer(bytes: Uint8Array): DerNode {
  try {
    const { offset, result } = asn1.fromBER(new Uint8Array(bytes))
    if (offset === bytes.length) return result
  } catch {
    // Falls through to the one error for both: the library throws for some breakages, among them a nesting too deep.
  }
  throw new DerError('the encoding is broken')
}

/** The values of a SEQUENCE, SET or explicit tag. Throws `DerError`. */
export function itemsOf(node: DerNode | undefined): DerNode[] {
  const { value } = (node?.valueBlock ?? {}) as { value?: unknown }
  if (Array.isArray(value)) return value as DerNode[]
  throw new DerError('a sequence is missing')
}

/** An object identifier in dotted decimal. Throws `DerError`. */
export function oidOf(node: DerNode | undefined): string {
  if (node instanceof asn1.ObjectIdentifier) return node.valueBlock.toString()
  throw new DerError('an object identifier is missing')
}

/** A small integer that is not negative. Throws `DerError`. */
export function integerOf(node: DerNode | undefined): number {
  if (node instanceof asn1.Integer && node.valueBlock.valueHexView.length <= 5 && node.valueBlock.valueDec >= 0)
    return node.valueBlock.valueDec
  throw new DerError('a number is missing or too large')
}

/** Whether it is an INTEGER, for optional fields. */
export function isInteger(node: DerNode | undefined): boolean {
  return node instanceof asn1.Integer
}

/** The octets of an OCTET STRING, whole or in parts, also under an implicit tag (BER). Throws `DerError`. */
export function octetsOf(node: DerNode | undefined): Buffer {
  const { idBlock, valueBlock } = node ?? {}
  // The library looks into primitive strings too and would show what it takes for values there.
  if (node !== undefined && idBlock?.isConstructed === true) return Buffer.concat(itemsOf(node).map(octetsOf))
  const { valueHexView } = (valueBlock ?? {}) as { valueHexView?: Uint8Array }
  if (valueHexView !== undefined) return Buffer.from(valueHexView)
  throw new DerError('octets are missing')
}

/** The whole encoding of a value, as it was read. */
export function encodingOf(node: DerNode): Buffer {
  return Buffer.from(node.valueBeforeDecodeView)
}
