import { X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { call, issueByHttp, order, problemType, registeredClient, send, startChallengeWeb } from './rig.ts'
import { type AcmeServer, startAcmeServer } from './server.ts'

/** RFC 9773 section 4.1, taken from the certificate by other means than the server's: OpenSSL's own text. */
function certIdOf(pem: string): string {
  const leaf = new X509Certificate(pem)
  const serial = Buffer.from(leaf.serialNumber, 'hex')
  const content = ((serial[0] ?? 0) & 0x80) === 0 ? serial : Buffer.concat([Buffer.of(0), serial])
  const issuer = new X509Certificate(pem.slice(pem.indexOf('-----BEGIN', 10)))
  // The authority's key id stands in the leaf after its octets 30 16 80 14.
  const at = leaf.raw.indexOf(Buffer.from('30168014', 'hex'))
  const keyId = leaf.raw.subarray(at + 4, at + 24)
  expect(issuer.raw.includes(Buffer.concat([Buffer.from('0414', 'hex'), keyId]))).toBe(true)
  return `${keyId.toString('base64url')}.${content.toString('base64url')}`
}

function renewalInfo(ca: AcmeServer, certId: string) {
  return call(ca, `${ca.directoryUrl.replace('/directory', '')}/acme/renewal-info/${certId}`, 'GET')
}

test('renewalInfo tells the rule, a window of one certificate, and 404', async () => {
  await using web = await startChallengeWeb()
  await using ca = await startAcmeServer({ httpPort: web.port })
  const client = await registeredClient(ca)
  const { pem } = await issueByHttp(client, web, ['a.test.example'])
  const certId = certIdOf(pem)
  const { notBefore, notAfter } = ca.log.of('issued')[0] ?? expect.fail('nothing was issued')
  const directory = await call(ca, ca.directoryUrl, 'GET')
  expect(directory.data).toMatchObject({ renewalInfo: expect.stringMatching(/renewal-info$/) })

  const third = (notAfter - notBefore) / 3
  const answer = await renewalInfo(ca, certId)
  expect(answer).toMatchObject({
    status: 200,
    headers: { 'retry-after': '21600' },
    data: {
      suggestedWindow: {
        start: new Date(notAfter - third).toISOString(),
        end: new Date(notAfter - third / 2).toISOString(),
      },
    },
  })
  const past = { start: notBefore - 2_000, end: notBefore - 1_000, explanationUrl: 'https://ca.test/incident' }
  ca.renewals.windows.set(certId, past)
  ca.renewals.retryAfterSeconds = 60
  const moved = await renewalInfo(ca, certId)
  expect(moved.headers['retry-after']).toBe('60')
  expect(moved.data).toEqual({
    suggestedWindow: { start: new Date(past.start).toISOString(), end: new Date(past.end).toISOString() },
    explanationURL: 'https://ca.test/incident',
  })
  const [keyId] = certId.split('.')
  expect(await renewalInfo(ca, `${keyId}.AAAA`)).toMatchObject({
    status: 404,
    data: { type: expect.stringContaining('malformed') },
  })
  expect(await renewalInfo(ca, 'nonsense')).toMatchObject({ status: 400 })
  expect(ca.log.of('renewal-info').map(({ status }) => status)).toEqual([200, 200, 404])
})

test('what is revoked is due at once', async () => {
  await using web = await startChallengeWeb()
  await using ca = await startAcmeServer({ httpPort: web.port })
  const client = await registeredClient(ca)
  const { pem } = await issueByHttp(client, web, ['a.test.example'])
  await client.revokeCertificate(pem)
  const { data } = await renewalInfo(ca, certIdOf(pem))
  const { end } = (data as { suggestedWindow: { end: string } }).suggestedWindow
  expect(Date.parse(end)).toBeLessThanOrEqual(Date.now())
})

test('replaces: of the same account once, and again when the order came to nothing', async () => {
  await using web = await startChallengeWeb()
  await using ca = await startAcmeServer({ httpPort: web.port })
  const client = await registeredClient(ca)
  const names = ['a.test.example', 'b.test.example']
  const { pem } = await issueByHttp(client, web, names)
  const replaces = certIdOf(pem)
  const base = ca.directoryUrl.replace('/directory', '')
  const ask = (keyPem: string, kid: string, more: object) =>
    send(ca, {
      url: `${base}/acme/new-order`,
      keyPem,
      kid,
      payload: { identifiers: [{ type: 'dns', value: 'a.test.example' }], ...more },
    })
  const own = (more: object) => ask(client.accountPem, client.getAccountUrl(), more)

  expect(problemType(await own({ replaces: `${replaces.split('.')[0]}.AQID` }))).toBe('malformed')
  expect(problemType(await own({ replaces: 'no id' }))).toBe('malformed')
  const foreign = await registeredClient(ca)
  expect(problemType(await ask(foreign.accountPem, foreign.getAccountUrl(), { replaces }))).toBe('unauthorized')
  expect(problemType(await own({ replaces, identifiers: [{ type: 'dns', value: 'c.test.example' }] }))).toBe(
    'malformed',
  )

  const failed = await own({ replaces })
  expect(failed).toMatchObject({ status: 201, data: { replaces } })
  expect(await own({ replaces })).toMatchObject({
    status: 409,
    data: { type: 'urn:ietf:params:acme:error:alreadyReplaced' },
  })
  // Its authorization fails, so that the certificate is not replaced after all.
  const [authorization] = await client.getAuthorizations(failed.data as never)
  const challenge = authorization?.challenges.find(({ type }) => type === 'http-01') ?? expect.fail('no challenge')
  await client.completeChallenge(challenge)
  await expect(client.waitForValidStatus(authorization as never)).rejects.toThrow(/404/)
  await client.getOrder({ ...(failed.data as object), url: failed.headers.location } as never)

  const { order: replaced } = await issueByHttp(client, web, names, { replaces })
  expect(replaced).toMatchObject({ status: 'valid', replaces })
  expect(problemType(await own({ replaces }))).toBe('alreadyReplaced')
  expect(ca.log.of('issued').map((entry) => entry.replaces)).toEqual([null, replaces])
})

test('profiles: offered, chosen, limited, removed while running', async () => {
  await using web = await startChallengeWeb()
  const profiles = {
    classic: { description: 'the usual', lifetimeSeconds: 900, maxNames: 3 },
    tiny: { description: 'a minute', lifetimeSeconds: 60, maxNames: 1, hasCommonName: true },
  }
  await using ca = await startAcmeServer({ httpPort: web.port, profiles })
  const client = await registeredClient(ca)
  const meta = async () => (await call(ca, ca.directoryUrl, 'GET')).data as { meta: { profiles?: object } }
  expect((await meta()).meta.profiles).toEqual({ classic: 'the usual', tiny: 'a minute' })

  const lifetimeOf = (pem: string): number => {
    const leaf = new X509Certificate(pem)
    return (leaf.validToDate.getTime() - leaf.validFromDate.getTime()) / 1_000
  }
  const usual = await issueByHttp(client, web, ['a.test.example'])
  expect([lifetimeOf(usual.pem), new X509Certificate(usual.pem).subject]).toEqual([900, undefined])
  const tiny = await issueByHttp(client, web, ['a.test.example'], { profile: 'tiny' })
  expect([lifetimeOf(tiny.pem), new X509Certificate(tiny.pem).subject]).toEqual([60, 'CN=a.test.example'])
  expect(tiny.order).toMatchObject({ profile: 'tiny' })

  await expect(order(client, ['a.test.example', 'b.test.example'], { profile: 'tiny' })).rejects.toThrow(/more than 1/)
  await expect(order(client, ['a.test.example'], { profile: 'nope' })).rejects.toThrow(/"nope" not recognized/)
  const placed = await order(client, ['a.test.example'], { profile: 'tiny' })
  ca.profiles.delete('tiny')
  expect((await meta()).meta.profiles).toEqual({ classic: 'the usual' })
  const url = `${ca.directoryUrl.replace('/directory', '')}/acme/new-order`
  const payload = { identifiers: [{ type: 'dns', value: 'a.test.example' }], profile: 'tiny' }
  const refused = await send(ca, { url, keyPem: client.accountPem, kid: client.getAccountUrl(), payload })
  expect([refused.status, problemType(refused)]).toEqual([400, 'invalidProfile'])
  expect(placed.status).toBe('pending')
  ca.profiles.clear()
  expect((await meta()).meta).not.toHaveProperty('profiles')
  const { order: without } = await issueByHttp(client, web, ['a.test.example'])
  expect(without).not.toHaveProperty('profile')
})
