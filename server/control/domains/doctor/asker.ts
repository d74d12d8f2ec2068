import { createLimiter } from '../../jobs/limit.ts'
import type { DnsAsk, DnsClient } from '../../outbound/dns-client.ts'
import type { DnsReply } from '../../outbound/dns-query.ts'

/** One question, all its tries together. */
const QUERY_MS = 2_500
/** Questions for one name: a chain of ten aliases with four name servers each stays below. */
const MAX_QUERIES = 160
/** Questions on their way at the same time. */
const PARALLEL = 32

/** Asks the DNS within the limits of one examination. The same question is asked once. Never throws. */
export type Asker = {
  resolver(name: string, type: DnsAsk['type'], checkingDisabled?: boolean): Promise<DnsReply>
  server(address: string, name: string, type: DnsAsk['type']): Promise<DnsReply>
  /** How many questions were asked. */
  readonly asked: number
}

/** Makes an asker; after the signal, or too many questions, every answer is that there is none. */
export function createAsker(client: DnsClient, signal: AbortSignal, maxQueries = MAX_QUERIES): Asker {
  const replies = new Map<string, Promise<DnsReply>>()
  const turn = createLimiter(PARALLEL)
  const once = (key: string, work: () => Promise<DnsReply>): Promise<DnsReply> => {
    const known = replies.get(key)
    if (known !== undefined) return known
    const isTooMany = replies.size >= maxQueries
    const reply = isTooMany ? Promise.resolve(tooMany) : turn(work)
    if (!isTooMany) replies.set(key, reply)
    return reply
  }
  const limits = { timeoutMs: QUERY_MS, signal }
  return {
    resolver: (name, type, checkingDisabled = false) =>
      once(`${name} ${type} ${checkingDisabled}`, () => client.askResolver({ name, type, checkingDisabled }, limits)),
    server: (address, name, type) =>
      once(`${address} ${name} ${type}`, () => client.askServer(address, { name, type }, limits)),
    get asked() {
      return replies.size
    },
  }
}

const tooMany: DnsReply = { kind: 'none', reason: 'too many lookups were needed' }
