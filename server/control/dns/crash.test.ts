import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { createTenantSite, quietLog } from '../../test/certificate-rig.ts'
import { createTestDatabase } from '../../test/database.ts'
import { addProvider, makeDnsParts } from '../../test/dns-rig.ts'
import { startNameServers, tsigKeys } from '../../test/name-servers.ts'
import { cleanUp } from './cleanup.ts'
import { decodeText, types } from './dns-message.ts'
import { createRfc2136Provider } from './providers/rfc2136.ts'

const CHILD = fileURLToPath(new URL('../../test/dns-child.ts', import.meta.url))
const never = new AbortController().signal
const NAME = 'crash.bind.test'
const FQDN = `_acme-challenge.${NAME}`

type Call = { readonly action: 'set' | 'remove'; readonly fqdn: string; readonly value: string }

/**
 * A webhook that passes what it is told on to BIND. While `victim` is set, the process is killed by SIGKILL in the
 * middle of the call: before the record is written, or after it was, without an answer.
 */
async function startWebhook(pass: (call: Call) => Promise<void>) {
  const state: { victim: ChildProcess | null; when: 'before' | 'after' } = { victim: null, when: 'before' }
  const kill = async (): Promise<void> => {
    const { victim } = state
    if (victim === null) return
    const ended = once(victim, 'exit')
    victim.kill('SIGKILL')
    await ended
  }
  const server = createServer(async (request, response) => {
    const call = (await json(request)) as Call
    if (state.when === 'before' && state.victim !== null) return kill()
    await pass(call)
    await kill()
    response.writeHead(204).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return Object.assign(state, {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  })
}

for (const when of ['before', 'after'] as const) {
  test(`killed by SIGKILL ${when} the record was written: resumed by the same call, and removed in the end`, async () => {
    await using servers = await startNameServers([{ name: 'bind.test', at: 'bind' }])
    await using database = await createTestDatabase()
    const { db } = database
    const parts = makeDnsParts(db, { servers })
    const key = {
      name: 'acme-key',
      algorithm: 'hmac-sha256',
      secret: Buffer.from(tsigKeys['acme-key'].secret, 'base64'),
    } as const
    const bind = createRfc2136Provider({ server: servers.primaries.bind, key, zones: ['bind.test'] }, parts.outside)
    await using webhook = await startWebhook(({ action, fqdn, value }) =>
      action === 'set' ? bind.setTxt(fqdn, value, never) : bind.removeTxt(fqdn, value, never),
    )
    const { tenantId } = await createTenantSite(db)
    const secret = 'a key of the webhook'
    await addProvider(db, { tenantId, kind: 'webhook', config: { url: webhook.url }, secret, zones: ['bind.test'] })
    const challenge = { tenantId, orderId: randomUUID(), name: NAME, value: randomUUID() }
    const seen = async (): Promise<string[]> => {
      const { answers } = await parts.ask.server('127.0.0.1', FQDN, types.TXT, AbortSignal.timeout(20_000))
      return answers.map(({ data }) => decodeText(data))
    }
    const die = async (): Promise<void> => {
      const args = [CHILD, database.url, servers.resolver, String(servers.port), JSON.stringify(challenge)]
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] })
      const ended = once(child, 'exit')
      Object.assign(webhook, { victim: child, when })
      expect(await ended).toEqual([null, 'SIGKILL'])
      webhook.victim = null
    }
    const sweep = (open: string[]): Promise<void> =>
      cleanUp({ db, records: parts.records, log: quietLog(), isOrderOpen: async () => new Set(open) }, never)
    const passTime = () => db.dnsRecord.updateMany({ data: { dueAt: new Date(0) } })

    await die()
    expect(await db.dnsRecord.findMany()).toMatchObject([{ state: 'wanted', value: challenge.value, fqdn: FQDN }])
    expect(await seen()).toEqual(when === 'before' ? [] : [challenge.value])
    expect(await parts.solver.present(challenge)).toEqual({ state: 'propagated' })
    expect(await db.dnsRecord.findMany()).toMatchObject([{ state: 'present' }])
    await passTime()
    await sweep([challenge.orderId])
    expect(await seen()).toEqual([challenge.value])
    await passTime()
    await sweep([])
    expect(await seen()).toEqual([])
    expect(await db.dnsRecord.count()).toBe(0)

    // And where nobody comes back to the order, the row alone is enough.
    await die()
    await passTime()
    await sweep([])
    expect(await seen()).toEqual([])
    expect(await db.dnsRecord.count()).toBe(0)
  }, 120_000)
}
