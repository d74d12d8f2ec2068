import { randomBytes, randomUUID } from 'node:crypto'
import type { Ask } from './ask.ts'
import { findZone } from './delegation.ts'
import { isEverywhere, lookAtServers, sightingsProblem } from './propagation.ts'
import { DnsProviderError, PROVIDER_MS } from './provider.ts'
import { findRecord } from './record-store.ts'
import type { DnsRecords } from './records.ts'
import type { DnsProviderTestResult } from './schema.ts'
import type { ProviderRow } from './store.ts'

type Step = DnsProviderTestResult['steps'][number]

const LOOK_MS = 15_000

/**
 * Writes a TXT record under a label of its own into a zone of the provider, looks for it at the zone's name
 * servers, and removes it: what an order does. Never throws for what the provider or the DNS says. A record
 * that could not be removed here is removed by the clean-up.
 */
export async function tryOut(
  {
    records,
    ask,
    db,
  }: { readonly records: DnsRecords; readonly ask: Ask; readonly db: Parameters<typeof findRecord>[0] },
  provider: ProviderRow,
  zone: string,
): Promise<DnsProviderTestResult> {
  const fqdn = `_nameplate-test-${randomBytes(4).toString('hex')}.${zone}`
  const key = { orderId: randomUUID(), hostname: zone, fqdn, value: randomBytes(32).toString('base64url') }
  const steps: Step[] = []
  const written = await attempt('write', `wrote ${fqdn}`, () =>
    records.write(provider, key, AbortSignal.timeout(PROVIDER_MS)),
  )
  steps.push(written)
  if (written.ok) steps.push(await look(ask, key))
  const row = await findRecord(db, { ...key, providerId: provider.id })
  if (row !== null)
    steps.push(
      await attempt('remove', `removed ${fqdn}`, () => records.remove(provider, row, AbortSignal.timeout(PROVIDER_MS))),
    )
  const ok = steps.every((step) => step.ok || step.step === 'look')
  return { ok, zone, fqdn, steps }
}

/** A record that is slow to appear is no fault of the provider: it is told, and does not count. */
async function look(ask: Ask, wanted: { readonly fqdn: string; readonly value: string }): Promise<Step> {
  const signal = AbortSignal.timeout(LOOK_MS)
  try {
    const zone = await findZone(ask, wanted.fqdn, signal)
    const sightings = await lookAtServers(ask, zone, wanted, signal)
    const ok = isEverywhere(sightings)
    const servers = sightings.map(({ server }) => server).join(', ')
    const detail = ok ? `all name servers have it: ${servers}` : sightingsProblem(sightings, wanted.fqdn)
    return { step: 'look', ok, code: null, detail }
  } catch (error) {
    return failure('look', error)
  }
}

async function attempt(step: Step['step'], done: string, work: () => Promise<unknown>): Promise<Step> {
  try {
    await work()
    return { step, ok: true, code: null, detail: done }
  } catch (error) {
    return failure(step, error)
  }
}

function failure(step: Step['step'], error: unknown): Step {
  if (!(error instanceof DnsProviderError)) throw error
  return { step, ok: false, code: error.code, detail: error.message }
}
