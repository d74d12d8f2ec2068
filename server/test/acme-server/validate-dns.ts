import { createHash } from 'node:crypto'
import { AcmeProblem } from './problem.ts'
import type { NameResolver } from './resolve.ts'

type DnsChallenge = {
  readonly name: string
  readonly keyAuthorization: string
  readonly visit: (target: string) => void
}

/** RFC 8555 section 8.4: a TXT record at `_acme-challenge`. Throws `dns` or `unauthorized`. */
export async function validateDns(
  { name, keyAuthorization, visit }: DnsChallenge,
  resolver: NameResolver,
): Promise<void> {
  const place = `_acme-challenge.${name}`
  visit(place)
  const texts = await resolver.texts(place)
  const [first] = texts
  if (first === undefined) throw new AcmeProblem('unauthorized', `No TXT record found at ${place}`)
  if (texts.includes(createHash('sha256').update(keyAuthorization).digest('base64url'))) return
  const others = texts.length > 1 ? ` (and ${texts.length - 1} more)` : ''
  throw new AcmeProblem(
    'unauthorized',
    `Incorrect TXT record ${JSON.stringify(first.slice(0, 100))}${others} found at ${place}`,
  )
}
