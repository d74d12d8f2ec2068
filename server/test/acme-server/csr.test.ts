import { execFileSync } from 'node:child_process'
import { createPublicKey } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createCsr, generateKeyPem } from '../../control/certificates/keys.ts'
import { checkCsr } from './csr.ts'
import { integer, integerContent, objectId, objectIdText, readChildren, readElement, sequence } from './der.ts'
import { generateKey } from './hierarchy.ts'
import type { Identifier } from './identifier.ts'
import { addressBytes, addressText, reverseName } from './identifiers.ts'
import { AcmeProblem } from './problem.ts'

const accountKey = generateKey()
const shop: Identifier = { type: 'dns', value: 'shop.test' }

/** A request made by OpenSSL. */
function opensslCsr(
  keyArgs: readonly string[],
  options: { subject?: string; names?: string; digest?: string },
): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'csr-'))
  try {
    const names = options.names === undefined ? [] : ['-addext', `subjectAltName=${options.names}`]
    const args = ['req', '-new', '-nodes', '-newkey', ...keyArgs, '-subj', options.subject ?? '/', ...names]
    const rest = [`-${options.digest ?? 'sha256'}`, '-keyout', 'key.pem', '-outform', 'DER', '-out', 'csr.der']
    execFileSync('openssl', [...args, ...rest], { cwd: folder, stdio: 'pipe' })
    return readFileSync(join(folder, 'csr.der'))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** `ok`, or the problem's type and text. */
function check(der: Buffer, identifiers: readonly Identifier[] = [shop]): string {
  try {
    checkCsr(der, { identifiers, accountKey: createPublicKey(accountKey), compromisedKeys: new Set() })
    return 'ok'
  } catch (error) {
    if (error instanceof AcmeProblem) return `${error.type}: ${error.message}`
    throw error
  }
}

const ec = ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256']

test.each<[string, string[], Parameters<typeof opensslCsr>[1], Identifier[], RegExp]>([
  ['P-256', ec, { names: 'DNS:shop.test' }, [shop], /^ok$/],
  [
    'P-384',
    ['ec', '-pkeyopt', 'ec_paramgen_curve:P-384'],
    { names: 'DNS:shop.test', digest: 'sha384' },
    [shop],
    /^ok$/,
  ],
  ['RSA 2048', ['rsa:2048'], { names: 'DNS:shop.test' }, [shop], /^ok$/],
  ['other case', ec, { names: 'DNS:SHOP.test' }, [shop], /^ok$/],
  ['the name as common name too', ec, { subject: '/CN=shop.test', names: 'DNS:shop.test' }, [shop], /^ok$/],
  ['the name as common name alone', ec, { subject: '/CN=shop.test' }, [shop], /^ok$/],
  [
    'addresses',
    ec,
    { names: 'IP:192.0.2.1,IP:2001:db8::1' },
    [
      { type: 'ip', value: '192.0.2.1' },
      { type: 'ip', value: '2001:db8::1' },
    ],
    /^ok$/,
  ],
  ['a wildcard', ec, { names: 'DNS:*.shop.test' }, [{ type: 'dns', value: '*.shop.test' }], /^ok$/],
  ['one name more', ec, { names: 'DNS:shop.test,DNS:evil.test' }, [shop], /^badCSR: .*contains dns:evil.test/],
  [
    'one name more in the common name',
    ec,
    { subject: '/CN=evil.test', names: 'DNS:shop.test' },
    [shop],
    /^badCSR: .*contains dns:evil.test/,
  ],
  [
    'one name less',
    ec,
    { names: 'DNS:shop.test' },
    [shop, { type: 'dns', value: 'b.test' }],
    /^badCSR: .*missing dns:b.test/,
  ],
  ['no name', ec, {}, [shop], /^badCSR: .*missing dns:shop.test/],
  ['an address as DNS name', ec, { names: 'DNS:192.0.2.1' }, [{ type: 'ip', value: '192.0.2.1' }], /^badCSR/],
  ['an e-mail address', ec, { names: 'DNS:shop.test,email:a@shop.test' }, [shop], /^badCSR: .*no DNS name/],
  ['RSA 1024', ['rsa:1024'], { names: 'DNS:shop.test' }, [shop], /^badPublicKey/],
  ['P-521', ['ec', '-pkeyopt', 'ec_paramgen_curve:P-521'], { names: 'DNS:shop.test' }, [shop], /^badPublicKey/],
  ['SHA-1', ec, { names: 'DNS:shop.test', digest: 'sha1' }, [shop], /^badCSR: .*not taken/],
])("OpenSSL's request with %s", (_what, keyArgs, options, identifiers, expected) => {
  expect(check(opensslCsr(keyArgs, options), identifiers)).toMatch(expected)
})

test("the account's key is refused, a wrong signature too", async () => {
  const pem = accountKey.export({ type: 'pkcs8', format: 'pem' }) as string
  const derOf = (csr: string): Buffer => Buffer.from(csr.replace(/-----[^-]+-----|\s/g, ''), 'base64')
  expect(check(derOf(await createCsr(pem, ['shop.test'])))).toMatch(/different than account key/)
  const right = derOf(await createCsr(await generateKeyPem(), ['shop.test']))
  expect(check(right)).toBe('ok')
  const last = right.length - 1
  right.writeUInt8(right.readUInt8(last) ^ 1, last)
  expect(check(right)).toMatch(/^badCSR: .*signature is wrong/)
})

test('octets in any disorder are a bad request and nothing worse', async () => {
  const pem = await createCsr(await generateKeyPem(), ['shop.test'])
  const right = Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64')
  const change = fc.record({
    at: fc.nat(right.length - 1),
    value: fc.integer({ min: 1, max: 255 }),
    cut: fc.nat(right.length),
  })
  fc.assert(
    fc.property(change, ({ at, value, cut }) => {
      const spoilt = Buffer.from(right)
      spoilt.writeUInt8(spoilt.readUInt8(at) ^ value, at)
      expect(check(spoilt)).toMatch(/^bad/)
      expect(check(right.subarray(0, cut))).toMatch(cut === right.length ? /^ok/ : /^bad/)
    }),
  )
})

test('what is written in DER is read again', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 400 }), { maxLength: 5 }), (numbers) => {
      const written = sequence(...numbers.map((octets) => integer(Buffer.from(octets))))
      const read = readChildren(readElement(written).content).map(({ content }) =>
        BigInt(`0x${content.toString('hex')}`),
      )
      expect(read).toEqual(numbers.map((octets) => BigInt(`0x${Buffer.from(octets).toString('hex')}`)))
    }),
  )
  for (const id of ['1.2.840.113549.1.9.14', '2.5.29.17', '1.3.6.1.5.5.7.1.31', '2.23.140.1.2.1']) {
    expect(objectIdText(readElement(objectId(id)).content)).toBe(id)
  }
  expect(integerContent(Buffer.from('00008f', 'hex')).toString('hex')).toBe('008f')
})

test('addresses: octets and back, and the reverse names of RFC 8738', () => {
  fc.assert(fc.property(fc.ipV4(), (address) => void expect(addressText(addressBytes(address))).toBe(address)))
  expect(addressText(addressBytes('2001:db8::1'))).toBe('2001:db8::1')
  expect(reverseName('192.0.2.1')).toBe('1.2.0.192.in-addr.arpa')
  expect(reverseName('2001:db8::1')).toBe('1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa')
})
