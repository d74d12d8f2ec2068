import { randomBytes } from 'node:crypto'
import { challengeMark, httpChallengePath } from '../../../contract/challenge-answer.ts'
import { DialError, type Dialler, type FetchedAnswer } from '../../outbound/dialler.ts'
import { cdnOfHead } from './cdn.ts'
import type { PortProbe, Route } from './observation.ts'

/** The CA waits 10 s; ours that answers at all does so in milliseconds. */
const PROBE_MS = 3_500
const MAX_BYTES = 65_536
/** As many as RFC 8555 leaves to the CA and every one of them follows. */
const MAX_REDIRECTS = 3

/**
 * Asks port 80 of one address of each family as the CA would, for a token that nobody has: our listener
 * answers 404 with its mark (`challengeMark`). Redirects within the same host and port are followed.
 */
export function probePort80(dialler: Pick<Dialler, 'fetchFrom'>, host: string, route: Route): Promise<PortProbe[]> {
  const families = [
    [4, route.v4],
    [6, route.v6],
  ] as const
  const targets = families.flatMap(([family, lookup]) => {
    const address = lookup.kind === 'found' ? lookup.addresses[0] : undefined
    return address === undefined ? [] : [{ family, address }]
  })
  return Promise.all(targets.map(({ family, address }) => probe(dialler, host, family, address)))
}

async function probe(
  dialler: Pick<Dialler, 'fetchFrom'>,
  host: string,
  family: 4 | 6,
  address: string,
): Promise<PortProbe> {
  const deadline = Date.now() + PROBE_MS
  let url = `http://${host}${httpChallengePath}${randomBytes(24).toString('base64url')}`
  try {
    for (let hop = 0; ; hop++) {
      const timeoutMs = Math.max(1, deadline - Date.now())
      const answer = await dialler.fetchFrom(address, url, { maxBytes: MAX_BYTES, timeoutMs })
      const cdn = cdnOfHead(answer.headers)
      const next = sameHostUrl(answer.location, url)
      if (next === null || hop === MAX_REDIRECTS) return { family, address, result: resultOf(answer), cdn }
      url = next
    }
  } catch (error) {
    if (!(error instanceof DialError)) throw error
    return { family, address, result: failedResult(error), cdn: null }
  }
}

/** Where the redirect leads if that is the same host on port 80, else null. */
function sameHostUrl(location: string | null, from: string): string | null {
  if (location === null || !URL.canParse(location, from)) return null
  const target = new URL(location, from)
  return target.origin === new URL(from).origin && target.username === '' ? target.href : null
}

function resultOf({ status, headers, location }: FetchedAnswer): PortProbe['result'] {
  if (location !== null) return { kind: 'redirect', location }
  const isOurs = status === 404 && headers[challengeMark.field] === challengeMark.unknownToken
  return isOurs ? { kind: 'ours' } : { kind: 'other', status, server: [headers.server].flat()[0] ?? null }
}

function failedResult(error: DialError): PortProbe['result'] {
  if (error.code === 'forbidden-address' || error.code === 'no-route' || error.code === 'url')
    return { kind: 'unknown', reason: error.message }
  // Ours is a small page.
  if (error.code === 'too-large') return { kind: 'other', status: 200, server: null }
  return { kind: 'unreachable', reason: error.message }
}
