import { randomUUID, X509Certificate } from 'node:crypto'
import { Agent } from 'node:https'
import { axios, Client } from 'acme-client'
import { expect, test } from 'vitest'
import { createTenantSite, quietLog } from '../../test/certificate-rig.ts'
import { createTestDatabase } from '../../test/database.ts'
import { addProvider, makeDnsParts, platformProviders } from '../../test/dns-rig.ts'
import { startNameServers } from '../../test/name-servers.ts'
import { startPebble } from '../../test/pebble.ts'
import { createCsr, generateKeyPem } from '../certificates/keys.ts'
import { cleanUp } from './cleanup.ts'
import { decodeText, types } from './dns-message.ts'
import type { DnsChallenge, DnsSolver } from './solver.ts'

const never = new AbortController().signal
const names = ['customer.test', '*.customer.test']

/** Presents until it is everywhere, as the certificate manager does over several passes; says how often it waited. */
async function untilPropagated(solver: DnsSolver, challenge: DnsChallenge, whileWaiting: () => Promise<void>) {
  for (let waits = 0; ; waits += 1) {
    if (waits > 20) throw new Error('it does not get there')
    if ((await solver.present(challenge)).state === 'propagated') return waits
    await whileWaiting()
  }
}

/** What an order needs of the CA, and nothing of `auto()`. */
async function issue(
  directoryUrl: string,
  answer: (name: string, value: string) => Promise<unknown>,
  told: () => Promise<unknown>,
): Promise<string> {
  const client = new Client({
    directoryUrl,
    accountKey: await generateKeyPem(),
    backoffMin: 200,
    backoffMax: 1_000,
    backoffAttempts: 60,
  })
  await client.createAccount({ termsOfServiceAgreed: true })
  const order = await client.createOrder({ identifiers: names.map((value) => ({ type: 'dns', value })) })
  const authorizations = await client.getAuthorizations(order)
  const challenges = authorizations.map((authorization) => {
    const challenge = authorization.challenges.find(({ type }) => type === 'dns-01')
    if (challenge === undefined) throw new Error('no dns-01 is offered')
    const name = `${authorization.wildcard === true ? '*.' : ''}${authorization.identifier.value}`
    return { name, challenge }
  })
  expect(challenges.map(({ name }) => name).toSorted()).toEqual(names.toSorted())
  // All are there before the first is told: the two share one name.
  for (const { name, challenge } of challenges) await answer(name, await client.getChallengeKeyAuthorization(challenge))
  await told()
  for (const { challenge } of challenges) {
    await client.completeChallenge(challenge)
    await client.waitForValidStatus(challenge)
  }
  return client.getCertificate(await client.finalizeOrder(order, await createCsr(await generateKeyPem(), names)))
}

test.each(platformProviders)(
  'a wildcard is issued over a CNAME to $what',
  async ({ target, last, of: providerOf }) => {
    await using servers = await startNameServers(
      [
        { name: 'customer.test', at: 'bind', isReadOnly: true, records: [`_acme-challenge IN CNAME ${target}.`] },
        { name: 'two.test', at: 'knot', isDoubled: true },
      ],
      { powerdns: true },
    )
    await using pebble = await startPebble({ httpPort: 1, dnsServer: servers.resolver })
    axios.defaults.httpsAgent = new Agent({ ca: pebble.caPem })
    await using database = await createTestDatabase()
    const { db } = database
    const parts = makeDnsParts(db, { servers })
    await addProvider(db, providerOf(servers))
    const { tenantId } = await createTenantSite(db)
    for (const name of names) expect(await parts.solver.covers(tenantId, name)).toBe(true)
    const seen = async (): Promise<string[]> => {
      const { answers } = await parts.ask.server(last, target, types.TXT, AbortSignal.timeout(20_000))
      return answers.map(({ data }) => decodeText(data))
    }

    const orderId = randomUUID()
    const waits: number[] = []
    const answer = async (name: string, value: string): Promise<void> => {
      const challenge = { tenantId, orderId, name, value }
      waits.push(await untilPropagated(parts.solver, challenge, () => servers.catchUp('two.test')))
    }
    // The resolver, which is Pebble's too, remembers for the rest of a second that there was nothing.
    const resolved = async (): Promise<number> => {
      const answers = await parts.outside.lookups.lookupTxt('_acme-challenge.customer.test')
      return answers.kind === 'found' ? answers.values.length : 0
    }
    const chain = await issue(pebble.directoryUrl, answer, () => expect.poll(resolved, { timeout: 20_000 }).toBe(2))
    expect(new X509Certificate(chain).subjectAltName?.split(', ').toSorted()).toEqual([
      'DNS:*.customer.test',
      'DNS:customer.test',
    ])
    const isLagging = last === '127.0.0.3'
    expect(waits.every((count) => (isLagging ? count > 0 : count === 0))).toBe(true)
    expect(await seen()).toHaveLength(2)

    await parts.solver.release(orderId)
    await cleanUp({ db, records: parts.records, log: quietLog(), isOrderOpen: async () => new Set() }, never)
    if (isLagging) await servers.catchUp('two.test')
    await expect.poll(seen, { timeout: 20_000 }).toEqual([])
    expect(await db.dnsRecord.count()).toBe(0)
  },
  120_000,
)
