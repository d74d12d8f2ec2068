import { expect, test } from 'vitest'
import type { DnsProviderTestResult, DnsProviderView } from '../../control/dns/schema.ts'
import { ApiProblem } from '../client.ts'
import { startNameServers, tsigKeys } from '../name-servers.ts'
import { startWorld } from '../world.ts'

test('the running product writes to a name server and removes what it wrote', async () => {
  await using servers = await startNameServers([{ name: 'bind.test', at: 'bind' }])
  const env = { NAMEPLATE_DNS_SERVERS: servers.resolver, NAMEPLATE_OUTBOUND_ALLOW: '127.0.0.1/32' }
  await using world = await startWorld({ env })
  const { api } = world
  const tenant = await api.post<{ id: string }>('/tenants', { name: 'Tenant of names' })
  const body = {
    name: 'BIND',
    tenantId: tenant.id,
    kind: 'rfc2136',
    config: { server: servers.primaries.bind, keyName: 'acme-key' },
    secret: tsigKeys['acme-key'].secret,
    zones: ['bind.test'],
  }
  const provider = await api.post<DnsProviderView>('/dns-providers', body)
  const result = await api.post<DnsProviderTestResult>(`/dns-providers/${provider.id}/test`)
  // The zone's servers are looked for at port 53, where this test has none.
  expect(result.steps.filter(({ step }) => step !== 'look')).toMatchObject([
    { step: 'write', ok: true },
    { step: 'remove', ok: true },
  ])
  expect(result.ok).toBe(true)
  const elsewhere = { ...body, name: 'inside', config: { ...body.config, server: '10.0.0.1' } }
  await expect(api.post('/dns-providers', elsewhere)).rejects.toThrow(ApiProblem)
  await api.delete(`/dns-providers/${provider.id}`)
  expect(world.stack.output()).not.toContain(body.secret)
}, 180_000)
