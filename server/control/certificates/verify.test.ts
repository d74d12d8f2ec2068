import { expect, test } from 'vitest'
import { createTestAuthority } from '../../test/certificates.ts'
import { createCsr, generateKeyPem } from './keys.ts'
import { createLocalIssuer, createLocalRoot, LOCAL_ROOT_NAME } from './local-issuer.ts'
import { ChainError, verifyChain } from './verify.ts'

const NOW = new Date()
const DAY_MS = 86_400_000

test('a chain is served only when key, names, dates and signatures fit', async () => {
  const authority = await createTestAuthority()
  const other = await createTestAuthority('Another CA')
  const good = await authority.issue(['www.verify.test', 'verify.test'])
  const foreign = await other.issue(['www.verify.test'])
  const names = ['www.verify.test']
  const verify = (chain: string, key = good.privateKeyPem, wanted = names, now = NOW) =>
    verifyChain(chain, key, wanted, now)

  expect(verify(good.chainPem)).toMatchObject({
    fingerprint: good.fingerprint,
    names: ['www.verify.test', 'verify.test'],
  })
  const [leaf = ''] = good.chainPem.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? []
  const refused: [string, () => unknown][] = [
    ['holds no certificate', () => verify('hello')],
    ['another key', () => verify(foreign.chainPem)],
    ['does not cover api.verify.test', () => verify(good.chainPem, good.privateKeyPem, ['api.verify.test'])],
    ['not signed by the next', () => verify(`${leaf}\n${other.caPem}`)],
    ['cannot be read', () => verify(leaf.replace('MII', 'AAA'))],
    ['has expired', () => verify(good.chainPem, good.privateKeyPem, names, new Date(NOW.getTime() + 91 * DAY_MS))],
    ['not valid before', () => verify(good.chainPem, good.privateKeyPem, names, new Date(NOW.getTime() - 9 * DAY_MS))],
    ['too large', () => verify(good.chainPem.repeat(200))],
    ['too many', () => verify(good.chainPem.repeat(6))],
  ]
  for (const [message, attempt] of refused) expect(attempt).toThrow(new RegExp(message))
  expect(() => verify('hello')).toThrow(ChainError)
})

test('the local CA signs names of any length once, lower case, for seven days, and nothing else', async () => {
  const root = await createLocalRoot(NOW)
  const issuer = createLocalIssuer({ id: 'local', root, now: () => NOW })
  const long = `${'a'.repeat(60)}.${'b'.repeat(60)}.local.test`
  const keyPem = await generateKeyPem()
  const csrPem = await createCsr(keyPem, [long.toUpperCase(), long, '*.local.test'])
  const order = await issuer.finalizeOrder(
    await issuer.placeOrder({ names: [long], profile: null, replaces: null }),
    csrPem,
  )
  const chain = await issuer.downloadCertificate(order.certificateUrl ?? '', csrPem)
  const leaf = verifyChain(`${chain}${root.rootPem}`, keyPem, [long, '*.local.test'], NOW)
  expect(leaf.names).toEqual([long, '*.local.test'])
  expect(leaf.notAfter.getTime() - NOW.getTime()).toBeLessThanOrEqual(7 * DAY_MS)
  expect(leaf.keyAlgorithm).toBe('ec prime256v1')
  expect(LOCAL_ROOT_NAME).toContain('not publicly trusted')

  const forged = csrPem.replace(/(.{20})\n-----END/, 'AAAAAAAAAAAAAAAAAAAA\n-----END')
  await expect(issuer.downloadCertificate('local:x', forged)).rejects.toThrow()
})
