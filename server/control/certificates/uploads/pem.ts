/** More blocks than any bundle has; each costs a parse. */
const MAX_BLOCKS = 40
const BEGIN = /^-----BEGIN ([A-Z0-9 ]{1,40})-----$/
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/

/** One block of a PEM text (RFC 7468). */
export type PemBlock = {
  /** `CERTIFICATE`, `PRIVATE KEY`, ... */
  readonly label: string
  readonly der: Buffer
  /** Whether it has the header of an encrypted key of old (RFC 1421 section 4.6.1.1). */
  readonly isProtected: boolean
  /** The block as text, normalised. */
  readonly pem: string
}

/** A text that is no PEM. `message` says where and what. */
export class PemError extends Error {
  override name = 'PemError'
}

/**
 * Reads the blocks of a PEM text in their order. Text between blocks is ignored (RFC 7468 section 5.2), line
 * ends and spaces at the ends of lines may be any. One pass over the lines, whatever the text is. Throws
 * `PemError` with the number of the line; the text itself is never repeated, since it may hold a key.
 */
export function readPem(text: string): PemBlock[] {
  const blocks: PemBlock[] = []
  let open: OpenBlock | null = null
  for (const [index, raw] of text.split(/\r\n|\n|\r/).entries()) {
    const line = raw.trim()
    const label = BEGIN.exec(line)?.[1]
    if (label !== undefined) {
      if (open !== null) throw withoutEnd(open)
      if (blocks.length >= MAX_BLOCKS) throw new PemError(`there are more than ${MAX_BLOCKS} blocks`)
      open = { label, line: index + 1, body: [] }
    } else if (open !== null && line === `-----END ${open.label}-----`) {
      blocks.push(blockOf(open))
      open = null
    } else open?.body.push(line)
  }
  if (open !== null) throw withoutEnd(open)
  return blocks
}

type OpenBlock = { readonly label: string; readonly line: number; readonly body: string[] }

function withoutEnd({ line }: OpenBlock): PemError {
  return new PemError(`the block that begins in line ${line} has no end`)
}

function blockOf({ label, body, line }: OpenBlock): PemBlock {
  const headerEnd = body.findIndex((item) => item.includes(':')) < 0 ? -1 : body.indexOf('')
  const headers = body.slice(0, Math.max(headerEnd, 0))
  const base64 = body.slice(headerEnd + 1).join('')
  if (!BASE64.test(base64)) throw new PemError(`the block that begins in line ${line} is no base64`)
  return {
    label,
    der: Buffer.from(base64, 'base64'),
    isProtected: headers.some((header) => /^Proc-Type:.*ENCRYPTED/.test(header)),
    pem: [
      `-----BEGIN ${label}-----`,
      ...(headers.length === 0 ? [] : [...headers, '']),
      ...(base64.match(/.{1,64}/g) ?? []),
      `-----END ${label}-----`,
      '',
    ].join('\n'),
  }
}
