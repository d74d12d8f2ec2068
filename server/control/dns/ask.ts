import { randomInt } from 'node:crypto'
import { getServers } from 'node:dns'
import type { Reach } from '../../contract/reach.ts'
import { DialError, judgedAddresses } from '../outbound/dialler.ts'
import { exchangeTcp, exchangeUdp } from '../outbound/dns-exchange.ts'
import type { Lookups } from '../outbound/resolver.ts'
import { classes, decodeMessage, encodeMessage, flags, type ReadMessage, rcodes } from './dns-message.ts'
import { splitServer } from './server-text.ts'

/** One try; a server that answers at all does so within this. */
const TRY_MS = 2_000
const UDP_TRIES = 2
const TCP_MS = 5_000
const DNS_PORT = 53

/** A name server of a zone, with the addresses of it that may be dialled. */
export type NameServer = {
  readonly host: string
  readonly addresses: readonly string[]
  /** Why there is no address, or null. */
  readonly problem: string | null
}

/** Questions to the DNS: to the operator's resolvers, and to any name server itself. */
export type Ask = {
  /** Asks the resolvers, one after the other, and gives NOERROR or NXDOMAIN. Throws `DialError`. */
  resolver(name: string, type: number, signal: AbortSignal): Promise<ReadMessage>
  /** Asks one judged address of a name server for what it knows itself. Throws `DialError`. */
  server(address: string, name: string, type: number, signal: AbortSignal): Promise<ReadMessage>
  /** Finds the addresses of a name server and judges them; never throws. */
  nameServer(host: string): Promise<NameServer>
}

/** What asking needs. `dnsServers` as `NAMEPLATE_DNS_SERVERS`; `port` stands in for 53 where a test cannot bind it. */
export type AskDeps = {
  readonly lookups: Lookups
  readonly reach: Reach
  readonly dnsServers: readonly string[] | null
  readonly port?: number
}

/** Makes the questions. Nothing is remembered between them. */
export function createAsk({ lookups, reach, dnsServers, port = DNS_PORT }: AskDeps): Ask {
  return {
    async resolver(name, type, signal) {
      let last: unknown = new DialError('dns', 'there is no resolver')
      for (const server of dnsServers ?? getServers()) {
        const { host: address, port: resolverPort } = splitServer(server)
        try {
          return usable(await ask({ address, port: resolverPort }, { name, type, isRecursive: true }, signal), name)
        } catch (error) {
          last = error
        }
      }
      throw last
    },
    server: async (address, name, type, signal) =>
      usable(await ask({ address, port }, { name, type, isRecursive: false }, signal), name),
    async nameServer(host) {
      try {
        return { host, addresses: await judgedAddresses(lookups, reach, host), problem: null }
      } catch (error) {
        return { host, addresses: [], problem: (error as Error).message }
      }
    },
  }
}

type Target = { readonly address: string; readonly port: number }
type Asked = { readonly name: string; readonly type: number; readonly isRecursive: boolean }

/** By UDP, and by TCP where the answer does not fit (RFC 7766). */
async function ask(target: Target, { name, type, isRecursive }: Asked, signal: AbortSignal): Promise<ReadMessage> {
  const id = randomInt(0x10000)
  const questions = [{ name, type, class: classes.IN }]
  const message = encodeMessage({ id, flags: isRecursive ? flags.recurse : 0, questions })
  const isAnswer = (bytes: Buffer): boolean => answers(bytes, id, name, type)
  for (let tried = 1; ; tried += 1) {
    try {
      const answer = decodeMessage(await exchangeUdp(target, message, { timeoutMs: TRY_MS, isAnswer, signal }))
      if ((answer.flags & flags.truncated) === 0) return answer
      return decodeMessage(await exchangeTcp(target, message, { timeoutMs: TCP_MS, isAnswer, signal }))
    } catch (error) {
      const isLate = error instanceof DialError && error.code === 'timeout'
      if (!isLate || tried === UDP_TRIES || signal.aborted) throw error
    }
  }
}

function answers(bytes: Buffer, id: number, name: string, type: number): boolean {
  try {
    const message = decodeMessage(bytes)
    const [question] = message.questions
    const isResponse = (message.flags & flags.response) !== 0
    return message.id === id && isResponse && question?.name === name && question.type === type
  } catch {
    return false
  }
}

const rcodeTexts: Record<number, string> = {
  [rcodes.SERVFAIL]: 'with a failure (SERVFAIL)',
  [rcodes.REFUSED]: 'that it refuses to answer (REFUSED)',
}

function usable(message: ReadMessage, name: string): ReadMessage {
  const { rcode } = message
  if (rcode === rcodes.NOERROR || rcode === rcodes.NXDOMAIN) return message
  throw new DialError('dns', `${name}: it answers ${rcodeTexts[rcode] ?? `with the code ${rcode}`}`)
}
