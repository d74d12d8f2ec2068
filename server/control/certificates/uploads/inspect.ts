import { createHash, type KeyObject, X509Certificate } from 'node:crypto'
import type { FieldProblem } from '../../errors.ts'
import { CLOCK_SKEW_MS, keyAlgorithmOf, type VerifiedChain } from '../verify.ts'
import { buildChain, withoutDuplicates } from './chain.ts'
import { dnsNamesOf } from './names.ts'
import { type PemBlock, PemError, readPem } from './pem.ts'
import { Pkcs12Error, readPkcs12 } from './pkcs12.ts'
import { isPrivateKey, PrivateKeyError, readPrivateKey, readPrivateKeyInfo } from './private-key.ts'
import { weaknessOfKey, weaknessOfSignature } from './strength.ts'

/** More than any bundle holds. */
const MAX_CERTIFICATES = 20
/** As the `certificate` table allows for uploaded ones. */
const MAX_NAMES = 250
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const ANY_USAGE = '2.5.29.37.0'

/** What somebody sends: PEM in any order, in either field, or a PKCS#12 file. */
export type UploadInput = {
  readonly certificatePem?: string
  readonly privateKeyPem?: string
  readonly keyPassphrase?: string
  readonly pkcs12Base64?: string
  readonly password?: string
}

/** What was found in an upload. `material` is there only when there are no problems. */
export type Inspection = {
  readonly problems: readonly FieldProblem[]
  /** What the leaf says, with problems too; null when there is none that can be read. */
  readonly leaf: {
    readonly names: readonly string[]
    readonly fingerprint: string
    readonly spkiFingerprint: string
  } | null
  readonly material: { readonly chain: VerifiedChain; readonly keyPem: string } | null
}

/** Certificates and key of an upload, not looked at yet. */
type Parts = {
  readonly certificates: readonly X509Certificate[]
  readonly key: KeyObject | null
  readonly problems: readonly FieldProblem[]
  /** Where certificates came from. */
  readonly field: 'certificatePem' | 'pkcs12Base64'
}

/**
 * Checks all of an upload that can be told without the database, and lists every problem at once. Opening
 * what a password protects takes up to a few seconds of the thread pool. `ownKey` is a key that is here
 * already (of a request). Never throws for what the input holds, and no problem repeats any of it but names.
 */
export async function inspectUpload(
  input: UploadInput,
  now: Date,
  ownKey: KeyObject | null = null,
): Promise<Inspection> {
  const parts = input.pkcs12Base64 === undefined ? await fromPem(input, ownKey) : await fromPkcs12(input)
  const problems = [...parts.problems]
  const { key, field } = parts
  if (key !== null)
    problems.push(...saying(input.pkcs12Base64 === undefined ? 'privateKeyPem' : field, weaknessOfKey(key)))
  const certificates = withoutDuplicates(parts.certificates)
  const leaf = chooseLeaf(certificates, key)
  if (leaf === null) return { problems, leaf: null, material: null }
  if (key !== null && !fits(leaf, key)) {
    const detail = 'The private key is not the one of this certificate.'
    problems.push({ field: field === 'pkcs12Base64' ? field : 'privateKeyPem', detail })
  }
  const others = certificates.filter((item) => item !== leaf)
  const { path, root, missingIssuerOf } = buildChain(leaf, others, now)
  const names = namesOf(leaf)
  const details = [
    ...problemsOfLeaf(leaf, names, now),
    ...path.slice(1).flatMap((item) => problemsOfIntermediate(item, now)),
    ...(root !== null && root.validToDate <= now
      ? [`The root certificate "${nameOf(root.subject)}" has expired at ${root.validToDate.toISOString()}.`]
      : []),
    ...(missingIssuerOf === null ? [] : [missingIssuer(missingIssuerOf)]),
  ]
  problems.push(...details.map((detail) => ({ field, detail })))
  const said = { names: names ?? [], fingerprint: fingerprintOf(leaf), spkiFingerprint: spkiOf(leaf) }
  if (problems.length > 0 || key === null || names === null) return { problems, leaf: said, material: null }
  return { problems, leaf: said, material: { chain: chainOf(path, leaf, names), keyPem: pemOf(key) } }
}

/** SHA-256 of the SubjectPublicKeyInfo of a certificate, hex, lower case: what a barred key is known by. */
export function spkiOf(certificate: X509Certificate): string {
  return createHash('sha256')
    .update(certificate.publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex')
}

async function fromPem(input: UploadInput, ownKey: KeyObject | null): Promise<Parts> {
  const problems: FieldProblem[] = []
  const blocks = (['certificatePem', 'privateKeyPem'] as const).flatMap((field) =>
    blocksOf(input[field], field, problems),
  )
  const certificates = blocks.flatMap((block) => certificateOf(block, problems))
  if (certificates.length === 0 && problems.length === 0)
    problems.push({ field: 'certificatePem', detail: 'There is no certificate in it (-----BEGIN CERTIFICATE-----).' })
  const key = ownKey ?? (await keyOf(blocks.filter(isPrivateKey), input.keyPassphrase, problems))
  return { certificates: certificates.slice(0, MAX_CERTIFICATES), key, problems, field: 'certificatePem' }
}

function blocksOf(
  text: string | undefined,
  field: 'certificatePem' | 'privateKeyPem',
  problems: FieldProblem[],
): PemBlock[] {
  try {
    return readPem(text ?? '')
  } catch (error) {
    if (!(error instanceof PemError)) throw error
    problems.push({ field, detail: `This is not PEM: ${error.message}.` })
    return []
  }
}

function certificateOf(block: PemBlock, problems: FieldProblem[]): X509Certificate[] {
  if (!['CERTIFICATE', 'X509 CERTIFICATE', 'TRUSTED CERTIFICATE'].includes(block.label)) return []
  return parsed(block.der, 'certificatePem', problems)
}

function parsed(der: Buffer, field: Parts['field'], problems: FieldProblem[]): X509Certificate[] {
  try {
    const certificate = new X509Certificate(der)
    // Fails here and not in the middle of the checks where the key is of a kind that is not known.
    if (certificate.publicKey.type === 'public') return [certificate]
  } catch {
    // Falls through to the one error for both.
  }
  problems.push({ field, detail: 'One of the certificates in it cannot be read.' })
  return []
}

async function keyOf(
  blocks: readonly PemBlock[],
  passphrase: string | undefined,
  problems: FieldProblem[],
): Promise<KeyObject | null> {
  const distinct = [...new Map(blocks.map((block) => [block.pem, block])).values()]
  const [block] = distinct
  if (block === undefined || distinct.length > 1) {
    const none = 'There is no private key in it (-----BEGIN PRIVATE KEY-----).'
    const many = `There are ${distinct.length} private keys in it; send the one of the certificate.`
    if (problems.every(({ field }) => field !== 'privateKeyPem'))
      problems.push({ field: 'privateKeyPem', detail: block === undefined ? none : many })
    return null
  }
  try {
    return await readPrivateKey(block, passphrase)
  } catch (error) {
    if (!(error instanceof PrivateKeyError)) throw error
    problems.push({ field: error.field, detail: error.message })
    return null
  }
}

async function fromPkcs12({ pkcs12Base64 = '', password = '' }: UploadInput): Promise<Parts> {
  const problems: FieldProblem[] = []
  const field = 'pkcs12Base64'
  try {
    const content = await readPkcs12(Buffer.from(pkcs12Base64, 'base64'), password)
    const certificates = content.certificates.flatMap((der) => parsed(der, field, problems))
    if (certificates.length === 0 && problems.length === 0)
      problems.push({ field, detail: 'There is no certificate in it.' })
    const [key, ...more] = content.keys.map(readPrivateKeyInfo)
    if (key === undefined) problems.push({ field, detail: 'There is no private key in it: export it with the key.' })
    if (more.length > 0) problems.push({ field, detail: 'There are several private keys in it; export one alone.' })
    return { certificates: certificates.slice(0, MAX_CERTIFICATES), key: key ?? null, problems, field }
  } catch (error) {
    if (error instanceof Pkcs12Error) problems.push({ field: error.field, detail: error.message })
    else if (error instanceof PrivateKeyError) problems.push({ field, detail: error.message })
    else throw error
    return { certificates: [], key: null, problems, field }
  }
}

/** The one that the key belongs to; else the first that is no CA's; else the first. */
function chooseLeaf(certificates: readonly X509Certificate[], key: KeyObject | null): X509Certificate | null {
  const ofKey = key === null ? undefined : certificates.find((item) => fits(item, key))
  return ofKey ?? certificates.find((item) => !item.ca) ?? certificates[0] ?? null
}

function fits(certificate: X509Certificate, key: KeyObject): boolean {
  try {
    return certificate.checkPrivateKey(key)
  } catch {
    return false
  }
}

/** Null when the extension cannot be read. */
function namesOf(leaf: X509Certificate): string[] | null {
  try {
    return dnsNamesOf(leaf)
  } catch {
    return null
  }
}

function problemsOfLeaf(leaf: X509Certificate, names: readonly string[] | null, now: Date): string[] {
  const usages = leaf.keyUsage as readonly string[] | undefined
  const isForServers = usages === undefined || usages.includes(SERVER_AUTH) || usages.includes(ANY_USAGE)
  return compact([
    leaf.validToDate <= now && `The certificate has expired at ${leaf.validToDate.toISOString()}.`,
    leaf.validFromDate.getTime() > now.getTime() + CLOCK_SKEW_MS &&
      `The certificate is not valid before ${leaf.validFromDate.toISOString()}.`,
    leaf.ca && 'It is the certificate of a CA (CA:TRUE), which must not be served as that of a site.',
    !isForServers && 'It is not for servers: its extended key usage lacks serverAuth.',
    weaknessOfKey(leaf.publicKey),
    weaknessOfSignature(leaf),
    names === null && 'Its subject alternative names cannot be read.',
    names?.length === 0 && 'It has no DNS names (subject alternative names); browsers ignore the common name.',
    (names?.length ?? 0) > MAX_NAMES && `It has more than ${MAX_NAMES} names.`,
  ])
}

function problemsOfIntermediate(certificate: X509Certificate, now: Date): string[] {
  const weakness = weaknessOfKey(certificate.publicKey)
  const signature = weaknessOfSignature(certificate)
  const name = nameOf(certificate.subject)
  return compact([
    certificate.validToDate <= now &&
      `The intermediate certificate "${name}" has expired at ${certificate.validToDate.toISOString()}; ask your CA for the present one.`,
    certificate.validFromDate.getTime() > now.getTime() + CLOCK_SKEW_MS &&
      `The intermediate certificate "${name}" is not valid before ${certificate.validFromDate.toISOString()}.`,
    weakness !== null && `The intermediate certificate "${name}": ${weakness}`,
    signature !== null && `The intermediate certificate "${name}": ${signature}`,
  ])
}

/** Says which certificate to add, and where the CA offers it when it says so (RFC 5280 section 4.2.2.1). */
function missingIssuer(certificate: X509Certificate): string {
  const url = /CA Issuers - URI:(https?:\/\/[\x21-\x7e]{1,300})/.exec(certificate.infoAccess ?? '')?.[1]
  const from = url === undefined ? 'Your CA offers it for download' : `Your CA offers it at ${url}`
  return `The chain is not complete: the certificate of "${nameOf(certificate.issuer)}" is missing. ${from}; for a CA of your own add its root too.`
}

/** The common name of a subject, or all of it; short, since it is the uploader's text. */
function nameOf(subject: string): string {
  const commonName = /^CN=(.*)$/m.exec(subject)?.[1]
  return (commonName ?? subject.replaceAll('\n', ', ')).slice(0, 100)
}

function chainOf(path: readonly X509Certificate[], leaf: X509Certificate, names: readonly string[]): VerifiedChain {
  return {
    chainPem: path.map((item) => item.toString()).join(''),
    fingerprint: fingerprintOf(leaf),
    serial: leaf.serialNumber.toLowerCase(),
    names,
    keyAlgorithm: keyAlgorithmOf(leaf),
    notBefore: leaf.validFromDate,
    notAfter: leaf.validToDate,
  }
}

function fingerprintOf(leaf: X509Certificate): string {
  return leaf.fingerprint256.replaceAll(':', '').toLowerCase()
}

function pemOf(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }) as string
}

function saying(field: string, detail: string | null): FieldProblem[] {
  return detail === null ? [] : [{ field, detail }]
}

function compact(details: readonly (string | false | null | undefined)[]): string[] {
  return details.filter((detail) => typeof detail === 'string')
}
