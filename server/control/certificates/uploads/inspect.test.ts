import { X509Certificate } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { createOpenssl, type OpensslCertificate } from '../../../test/openssl.ts'
import { inspectUpload, type UploadInput } from './inspect.ts'

const openssl = createOpenssl()
afterAll(() => openssl[Symbol.dispose]())

const root = openssl.make({ commonName: 'Test Root', isCa: true, toDay: 900 })
const upper = openssl.make({ commonName: 'Upper CA', isCa: true, issuer: root, toDay: 800 })
const lower = openssl.make({ commonName: 'Lower CA', isCa: true, issuer: upper, toDay: 700 })
const names = ['www.own.test', '*.own.test']
const leaf = openssl.make({ commonName: 'www.own.test', names, issuer: lower, usage: 'serverAuth' })
const bundle = [leaf, lower, upper, root].map(({ certPem }) => certPem).join('')
const fingerprint = new X509Certificate(leaf.certPem).fingerprint256.replaceAll(':', '').toLowerCase()

const inspect = (input: UploadInput) => inspectUpload(input, new Date())
const detailsOf = async (input: UploadInput): Promise<string> => {
  const { problems, material } = await inspect(input)
  expect(material).toBeNull()
  expect(problems.length).toBeGreaterThan(0)
  const text = JSON.stringify(problems)
  // Whatever is said, it never repeats a line of a key or a password.
  for (const line of (input.privateKeyPem ?? '')
    .split('\n')
    .filter((item) => item.length > 30 && !item.includes('---')))
    expect(text).not.toContain(line)
  if ((input.password ?? '').length > 0) expect(text).not.toContain(input.password)
  if ((input.keyPassphrase ?? '').length > 0) expect(text).not.toContain(input.keyPassphrase)
  return problems.map(({ field, detail }) => `${field}: ${detail}`).join('\n')
}
/** A certificate for this name, with all its chain. */
const chained = (made: OpensslCertificate): UploadInput => ({
  certificatePem: [made, lower, upper, root].map(({ certPem }) => certPem).join(''),
  privateKeyPem: made.keyPem,
})

describe('what is accepted', () => {
  test('a chain with its root: sorted, the root left out', async () => {
    const { problems, material } = await inspect({ certificatePem: bundle, privateKeyPem: leaf.keyPem })
    expect(problems).toEqual([])
    expect(material?.chain).toMatchObject({ fingerprint, names, keyAlgorithm: 'ec prime256v1' })
    const expected = [leaf, lower, upper].map(({ certPem }) => new X509Certificate(certPem).toString()).join('')
    expect(material?.chain.chainPem).toBe(expected)
    expect(
      new X509Certificate(leaf.certPem).checkPrivateKey(
        (await import('node:crypto')).createPrivateKey(material?.keyPem ?? ''),
      ),
    ).toBe(true)
  })

  test('property: any order, with duplicates, strangers, text between and any line ends gives the same chain', async () => {
    const stranger = openssl.make({ commonName: 'Stranger CA', isCa: true })
    const blocks = [leaf.certPem, lower.certPem, upper.certPem, root.certPem, leaf.keyPem]
    const extra = fc.array(fc.constantFrom(...blocks, stranger.certPem), { maxLength: 6 })
    const order = extra.chain((more) =>
      fc.shuffledSubarray([...blocks, ...more], { minLength: blocks.length + more.length }),
    )
    const between = fc.constantFrom('', '\n', 'Bag Attributes\n  friendlyName: x\nsubject=CN = y\n', '\r\n')
    const lineEnd = fc.constantFrom('\n', '\r\n', '\r', ' \n')
    await fc.assert(
      fc.asyncProperty(order, between, lineEnd, fc.boolean(), async (sorted, text, end, isSplit) => {
        const cut = isSplit ? Math.floor(sorted.length / 2) : sorted.length
        const join = (part: string[]): string => part.join(text).replaceAll('\n', end)
        const input = { certificatePem: join(sorted.slice(0, cut)), privateKeyPem: join(sorted.slice(cut)) }
        const { problems, material } = await inspect(input)
        expect(problems).toEqual([])
        expect(material?.chain.fingerprint).toBe(fingerprint)
        expect(material?.chain.chainPem.match(/BEGIN/g)).toHaveLength(3)
      }),
      { numRuns: 60 },
    )
  })

  test.each([
    ['RSA 2048, PKCS#8', 'RSA -pkeyopt rsa_keygen_bits:2048', ['pkey']],
    ['RSA 2048, PKCS#1', 'RSA -pkeyopt rsa_keygen_bits:2048', ['rsa', '-traditional']],
    ['P-384, SEC 1', 'EC -pkeyopt ec_paramgen_curve:P-384', ['ec']],
    ['P-521', 'EC -pkeyopt ec_paramgen_curve:P-521', ['pkey']],
  ])('a key of %s', async (_, key, convert) => {
    const made = openssl.make({ commonName: 'k', names, key, issuer: lower })
    openssl.write('convert.key', made.keyPem)
    const privateKeyPem = openssl.run([...convert, '-in', 'convert.key']).toString()
    expect((await inspect({ ...chained(made), privateKeyPem })).problems).toEqual([])
  })

  test('a certificate that signed itself and is no CA', async () => {
    const own = openssl.make({ commonName: 'self', names })
    expect((await inspect({ certificatePem: own.certPem, privateKeyPem: own.keyPem })).problems).toEqual([])
  })

  test.each([
    ['PKCS#8, AES-256 and PBKDF2', ['pkcs8', '-topk8', '-v2', 'aes-256-cbc']],
    ['PKCS#8, 3DES', ['pkcs8', '-topk8', '-v2', 'des3']],
    ['PKCS#8, scrypt', ['pkcs8', '-topk8', '-scrypt']],
    ['PKCS#8, PKCS#12 3DES', ['pkcs8', '-topk8', '-v1', 'PBE-SHA1-3DES']],
    ['the old PEM encryption', ['ec', '-aes128']],
  ])('a key that a passphrase protects: %s', async (_, command) => {
    openssl.write('protect.key', leaf.keyPem)
    const privateKeyPem = openssl.run([...command, '-in', 'protect.key', '-passout', 'pass:pass-phräse']).toString()
    const input = { certificatePem: bundle, privateKeyPem }
    expect(await detailsOf(input)).toContain('privateKeyPem: The key is protected by a passphrase')
    expect(await detailsOf({ ...input, keyPassphrase: 'something else' })).toBe(
      'keyPassphrase: The passphrase is wrong.',
    )
    expect((await inspect({ ...input, keyPassphrase: 'pass-phräse' })).problems).toEqual([])
  })
})

describe('PKCS#12', () => {
  const legacy = ['-legacy', '-provider-path', '/usr/lib/x86_64-linux-gnu/ossl-modules']
  test.each([
    ['as OpenSSL 3 writes it', []],
    ['AES-128 and SHA-1', ['-keypbe', 'AES-128-CBC', '-certpbe', 'AES-128-CBC', '-macalg', 'sha1']],
    ['SHA-512 and many rounds', ['-macalg', 'sha512', '-iter', '20000']],
    [
      'RC2-40 and 3DES, as Windows wrote it',
      [...legacy.slice(0, 1), '-certpbe', 'PBE-SHA1-RC2-40', '-keypbe', 'PBE-SHA1-3DES', '-macalg', 'sha1'],
    ],
    [
      'RC2-128',
      [...legacy.slice(0, 1), '-certpbe', 'PBE-SHA1-RC2-128', '-keypbe', 'PBE-SHA1-RC2-128', '-macalg', 'sha1'],
    ],
    ['3DES alone', ['-certpbe', 'PBE-SHA1-3DES', '-keypbe', 'PBE-SHA1-3DES', '-macalg', 'sha1']],
    ['certificates in the clear', ['-certpbe', 'NONE']],
    ['without MAC', ['-nomac']],
  ])('%s', async (_, options) => {
    openssl.write('p12.key', leaf.keyPem)
    openssl.write('p12.pem', leaf.certPem)
    openssl.write('p12.ca', lower.certPem + upper.certPem + root.certPem)
    const files = ['-inkey', 'p12.key', '-in', 'p12.pem', '-certfile', 'p12.ca', '-passout', 'pass:Gehéim 1']
    const pkcs12Base64 = openssl.run(['pkcs12', '-export', ...files, ...options]).toString('base64')
    const { problems, material } = await inspect({ pkcs12Base64, password: 'Gehéim 1' })
    expect(problems).toEqual([])
    expect(material?.chain).toMatchObject({ fingerprint, names })
    expect(await detailsOf({ pkcs12Base64, password: 'Geheim 1' })).toBe(
      'password: The file could not be opened: the password is wrong.',
    )
    expect(await detailsOf({ pkcs12Base64 })).toContain('the password is wrong')
  })

  test('garbage, cut files and huge derivations are refused at once', async () => {
    openssl.write('h.key', leaf.keyPem)
    openssl.write('h.pem', leaf.certPem)
    const file = openssl.run([
      'pkcs12',
      '-export',
      '-inkey',
      'h.key',
      '-in',
      'h.pem',
      '-passout',
      'pass:x',
      '-iter',
      '400000',
      '-macalg',
      'sha256',
    ])
    expect(await detailsOf({ pkcs12Base64: file.toString('base64'), password: 'x' })).toContain(
      '400000 rounds; at most',
    )
    await fc.assert(
      fc.asyncProperty(
        fc.nat(file.length - 1),
        fc.integer({ min: 1, max: 255 }),
        fc.boolean(),
        async (at, flip, isCut) => {
          const broken = Buffer.from(isCut ? file.subarray(0, at) : file)
          if (!isCut) broken[at] = (broken[at] ?? 0) ^ flip
          expect((await inspect({ pkcs12Base64: broken.toString('base64'), password: 'y' })).material).toBeNull()
        },
      ),
      { numRuns: 100 },
    )
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 500 }), async (bytes) => {
        expect(
          (await inspect({ pkcs12Base64: Buffer.from(bytes).toString('base64'), password: 'x' })).material,
        ).toBeNull()
      }),
    )
    const nested = Buffer.alloc(150_000, Buffer.from([0x30, 0x80]))
    expect((await inspect({ pkcs12Base64: nested.toString('base64') })).material).toBeNull()
  })
})

describe('what is refused, each with its reason', () => {
  test('all problems at once, by field', async () => {
    const bad = openssl.make({
      commonName: 'bad',
      key: 'RSA -pkeyopt rsa_keygen_bits:1024',
      names,
      isCa: true,
      usage: 'clientAuth',
      issuer: lower,
      fromDay: -10,
      toDay: -2,
      digest: 'sha1',
    })
    const { problems } = await inspect({ certificatePem: bad.certPem, privateKeyPem: leaf.keyPem })
    const text = problems.map(({ field, detail }) => `${field}: ${detail}`).join('\n')
    for (const part of [
      'privateKeyPem: The private key is not the one',
      'has expired',
      'CA:TRUE',
      'serverAuth',
      '1024 bits',
      'SHA1',
      '"Lower CA" is missing',
    ])
      expect(text).toContain(part)
  })

  test.each<[string, () => UploadInput, string]>([
    [
      'a missing intermediate',
      () => ({ certificatePem: leaf.certPem + upper.certPem + root.certPem, privateKeyPem: leaf.keyPem }),
      '"Lower CA" is missing',
    ],
    [
      'a chain without its own root',
      () => ({ certificatePem: leaf.certPem + lower.certPem, privateKeyPem: leaf.keyPem }),
      '"Upper CA" is missing',
    ],
    [
      'an expired one',
      () => chained(openssl.make({ commonName: 'x', names, issuer: lower, fromDay: -9, toDay: -1 })),
      'has expired',
    ],
    [
      'one of tomorrow',
      () => chained(openssl.make({ commonName: 'x', names, issuer: lower, fromDay: 1 })),
      'not valid before',
    ],
    ['a CA', () => chained(openssl.make({ commonName: 'x', names, issuer: lower, isCa: true })), 'CA:TRUE'],
    [
      'one for clients',
      () => chained(openssl.make({ commonName: 'x', names, issuer: lower, usage: 'clientAuth' })),
      'serverAuth',
    ],
    ['one without names', () => chained(openssl.make({ commonName: 'www.own.test', issuer: lower })), 'no DNS names'],
    [
      '512 bits',
      () => chained(openssl.make({ commonName: 'x', names, issuer: lower, key: 'RSA -pkeyopt rsa_keygen_bits:512' })),
      '512 bits',
    ],
    [
      '1024 bits',
      () => chained(openssl.make({ commonName: 'x', names, issuer: lower, key: 'RSA -pkeyopt rsa_keygen_bits:1024' })),
      '1024 bits',
    ],
    [
      'SHA-1',
      () => chained(openssl.make({ commonName: 'x', names, issuer: lower, digest: 'sha1' })),
      'browsers have refused',
    ],
    [
      'Ed25519',
      () => chained(openssl.make({ commonName: 'x', names, issuer: lower, key: 'ED25519', digest: 'default' })),
      'no public CA',
    ],
    [
      'another curve',
      () =>
        chained(
          openssl.make({ commonName: 'x', names, issuer: lower, key: 'EC -pkeyopt ec_paramgen_curve:secp256k1' }),
        ),
      'secp256k1',
    ],
    [
      'the key of another',
      () =>
        ({ certificatePem: bundle, privateKeyPem: lower.keyPem }).certificatePem.length > 0
          ? {
              certificatePem: leaf.certPem + lower.certPem + upper.certPem + root.certPem,
              privateKeyPem: openssl.make({ commonName: 'other', names }).keyPem,
            }
          : {},
      'not the one of this certificate',
    ],
    [
      'a key of another type',
      () => ({
        certificatePem: bundle,
        privateKeyPem: openssl.run(['genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048']).toString(),
      }),
      'not the one of this certificate',
    ],
    [
      'a key for key agreement',
      () => ({ certificatePem: bundle, privateKeyPem: openssl.run(['genpkey', '-algorithm', 'X25519']).toString() }),
      'cannot be served',
    ],
    ['two keys', () => ({ certificatePem: bundle + upper.keyPem, privateKeyPem: leaf.keyPem }), '2 private keys'],
    ['no key', () => ({ certificatePem: bundle }), 'no private key'],
    ['no certificate', () => ({ certificatePem: '', privateKeyPem: leaf.keyPem }), 'no certificate'],
    [
      'a block without an end',
      () => ({ certificatePem: bundle.slice(0, 300), privateKeyPem: leaf.keyPem }),
      'has no end',
    ],
    [
      'no base64',
      () => ({ certificatePem: bundle, privateKeyPem: '-----BEGIN PRIVATE KEY-----\n!!\n-----END PRIVATE KEY-----\n' }),
      'no base64',
    ],
    [
      'a block of something else',
      () => ({ certificatePem: bundle.replace(/M/, 'N'), privateKeyPem: leaf.keyPem }),
      'cannot be read',
    ],
    [
      'an OpenSSH key',
      () => ({
        certificatePem: bundle,
        privateKeyPem: '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n',
      }),
      'not a key of a certificate',
    ],
    [
      'thousands of blocks',
      () => ({
        certificatePem: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'.repeat(5_000),
        privateKeyPem: leaf.keyPem,
      }),
      'more than 40 blocks',
    ],
  ])('%s', async (_, input, expected) => {
    expect(await detailsOf(input())).toContain(expected)
  })

  test('an expired intermediate, unless another one of the same key is there', async () => {
    const old = openssl.make({
      commonName: 'Lower CA',
      isCa: true,
      issuer: upper,
      keyPem: lower.keyPem,
      fromDay: -30,
      toDay: -3,
    })
    const input = {
      certificatePem: leaf.certPem + old.certPem + upper.certPem + root.certPem,
      privateKeyPem: leaf.keyPem,
    }
    expect(await detailsOf(input)).toContain('"Lower CA" has expired')
    expect((await inspect({ ...input, certificatePem: input.certificatePem + lower.certPem })).problems).toEqual([])
  })

  test('certificates that all sign each other, and garbage, end at once', async () => {
    const keyPem = upper.keyPem
    const first = openssl.make({ commonName: 'Ring', isCa: true, keyPem })
    const ring = Array.from({ length: 8 }, (_, index) =>
      openssl.make({ commonName: 'Ring', isCa: true, keyPem, toDay: 100 + index, issuer: first }),
    )
    const made = openssl.make({ commonName: 'x', names, issuer: first })
    const certificatePem = made.certPem + ring.map(({ certPem }) => certPem).join('')
    expect((await inspect({ certificatePem, privateKeyPem: made.keyPem })).problems).toEqual([])
    await fc.assert(
      fc.asyncProperty(
        fc.string({ maxLength: 400 }),
        fc.string({ maxLength: 400 }),
        async (certificate, privateKeyPem) => {
          expect((await inspect({ certificatePem: certificate, privateKeyPem })).material).toBeNull()
        },
      ),
    )
    const large = 'A'.repeat(10_000_000)
    expect(
      await detailsOf({
        certificatePem: large,
        privateKeyPem: `-----BEGIN PRIVATE KEY-----\n${large}\n-----END PRIVATE KEY-----`,
      }),
    ).toContain('can be read')
  })
})
