import { randomInt } from 'node:crypto'
import { judgedAddresses } from '../../outbound/dialler.ts'
import { type DnsTarget, exchangeTcp } from '../../outbound/dns-exchange.ts'
import { classes, encodeMessage, encodeText, flags, type NewRecord, rcodes, types } from '../dns-message.ts'
import {
  asProviderError,
  type DnsProvider,
  DnsProviderError,
  PROVIDER_MS,
  RECORD_TTL_SECONDS,
  requireZone,
} from '../provider.ts'
import { splitServer } from '../server-text.ts'
import { signMessage, type TsigKey, type TsigVerdict, tsigErrors, verifyAnswer } from '../tsig.ts'
import type { ProviderReach } from './reach.ts'

/** For each address of the server. */
const EXCHANGE_MS = 10_000

/** A name server that takes updates. `server` is a name or address, with `:port` where it is not 53. */
export type Rfc2136Options = { readonly server: string; readonly key: TsigKey; readonly zones: readonly string[] }

/**
 * Dynamic updates (RFC 2136) signed with TSIG (RFC 8945), over TCP. Adding a record that is there and
 * deleting one that is not are no errors (RFC 2136 sections 3.4.2.2 and 3.4.2.4), hence idempotent. An
 * answer counts only with a good signature.
 */
export function createRfc2136Provider(options: Rfc2136Options, { lookups, reach }: ProviderReach): DnsProvider {
  const { host, port } = splitServer(options.server)
  const update = async (fqdn: string, change: Omit<NewRecord, 'name' | 'type'>, signal: AbortSignal): Promise<void> => {
    const zone = requireZone(options.zones, fqdn)
    const message = encodeMessage({
      id: randomInt(0x10000),
      flags: flags.update,
      questions: [{ name: zone, type: types.SOA, class: classes.IN }],
      authorities: [{ ...change, name: fqdn, type: types.TXT }],
    })
    const place = `the name server ${options.server}`
    try {
      const limited = AbortSignal.any([signal, AbortSignal.timeout(PROVIDER_MS)])
      const addresses = await judgedAddresses(lookups, reach, host)
      judge(await send(addresses, port, message, options.key, limited), { place, zone, key: options.key })
    } catch (error) {
      throw asProviderError(error, place)
    }
  }
  return {
    setTxt: (fqdn, value, signal) =>
      update(fqdn, { class: classes.IN, ttl: RECORD_TTL_SECONDS, data: encodeText(value) }, signal),
    // Class NONE deletes this very record and leaves its neighbours (RFC 2136 section 2.5.4).
    removeTxt: (fqdn, value, signal) => update(fqdn, { class: classes.NONE, ttl: 0, data: encodeText(value) }, signal),
  }
}

/** The next address is tried only where no connection was made. */
async function send(
  addresses: readonly string[],
  port: number,
  message: Buffer,
  key: TsigKey,
  signal: AbortSignal,
): Promise<TsigVerdict> {
  let last: unknown
  for (const address of addresses) {
    const target: DnsTarget = { address, port }
    const signed = signMessage(message, key, Date.now())
    const isAnswer = (answer: Buffer): boolean =>
      answer.length >= 12 && answer.readUInt16BE(0) === message.readUInt16BE(0)
    try {
      const answer = await exchangeTcp(target, signed.bytes, { timeoutMs: EXCHANGE_MS, isAnswer, signal })
      return verifyAnswer(answer, key, signed.mac, Date.now())
    } catch (error) {
      last = error
      if ((error as { code?: unknown }).code !== 'connect') break
    }
  }
  throw last
}

function judge(verdict: TsigVerdict, { place, zone, key }: { place: string; zone: string; key: TsigKey }): void {
  const { error, message, kind } = verdict
  const refuse = (code: DnsProviderError['code'], text: string): never => {
    throw new DnsProviderError(code, `${place} ${text}`)
  }
  if (error === tsigErrors.BADKEY)
    refuse(
      'credentials',
      `does not know the key "${key.name}", or not for the zone ${zone}. Compare with its configuration`,
    )
  if (error === tsigErrors.BADSIG || error === tsigErrors.BADTRUNC)
    refuse('credentials', `does not accept the signature of the key "${key.name}". Compare secret and algorithm`)
  if (error === tsigErrors.BADTIME) refuse('clock', 'has a clock that differs from ours by more than 5 minutes')
  const { rcode } = message
  if (rcode === rcodes.NOTAUTH || rcode === rcodes.NOTZONE)
    refuse('zone', `is not the primary server of the zone ${zone}`)
  if (rcode === rcodes.REFUSED)
    refuse('refused', `refused to change the zone ${zone}. Allow the key "${key.name}" to update TXT records in it`)
  if (rcode === rcodes.NOTIMP) refuse('refused', 'does not take updates (NOTIMP)')
  if (rcode !== rcodes.NOERROR) refuse('answer', `answered the update of ${zone} with an error (code ${rcode})`)
  if (kind === 'unverified') refuse('answer', 'said yes without a valid signature, which proves nothing')
}
