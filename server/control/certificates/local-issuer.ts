import 'reflect-metadata'
import { X509Certificate as NodeCertificate, randomBytes, randomUUID } from 'node:crypto'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequest,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'
import { type Issuer, IssuerProblem, ownProblems, type RemoteOrder } from './issuer.ts'
import { generateKeyPem, importKeyPair } from './keys.ts'

/** Common name of every local root: whoever finds it in a trust store sees what it is. */
export const LOCAL_ROOT_NAME = 'Nameplate Local CA (not publicly trusted)'

const DAY_MS = 24 * 3_600_000
const ROOT_LIFETIME_MS = 3_652 * DAY_MS
const LEAF_LIFETIME_MS = 7 * DAY_MS
/** Visitors' clocks may be behind. */
const BACKDATE_MS = 5 * 60_000
const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' } as const

/** A root certificate and its key, both PEM. */
export type LocalRoot = { readonly rootPem: string; readonly rootKeyPem: string }

/** Makes the root of a new local CA: ECDSA P-256, ten years, may sign leaves only. */
export async function createLocalRoot(now: Date): Promise<LocalRoot> {
  const rootKeyPem = await generateKeyPem()
  const keys = await importKeyPair(rootKeyPem)
  const root = await X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: [{ CN: [LOCAL_ROOT_NAME] }],
    notBefore: new Date(now.getTime() - BACKDATE_MS),
    notAfter: new Date(now.getTime() + ROOT_LIFETIME_MS),
    keys,
    signingAlgorithm,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return { rootPem: `${root.toString('pem')}\n`, rootKeyPem }
}

/**
 * The built-in CA: an order needs no proof here (ownership was proven to Nameplate), and the
 * certificate is signed when it is fetched, so that nothing is kept between the steps.
 */
export function createLocalIssuer(options: {
  readonly id: string
  readonly root: LocalRoot
  readonly now: () => Date
}): Issuer {
  const order = (url: string, state: 'ready' | 'valid'): RemoteOrder => ({
    url,
    state,
    finalizeUrl: url,
    authorizationUrls: [],
    certificateUrl: state === 'valid' ? url : null,
    expiresAt: null,
    retryAfterMs: null,
  })
  return {
    id: options.id,
    kind: 'local',
    ensureAccount: () => Promise.resolve(null),
    placeOrder: () => Promise.resolve({ ...order(`local:${randomUUID()}`, 'ready'), profile: null, replaces: null }),
    findOrder: () => Promise.resolve(null),
    renewalInfo: () => Promise.resolve(null),
    readOrder: (url) => Promise.resolve(order(url, 'ready')),
    readAuthorization: () => Promise.reject(refuse('the local CA asks for no authorization')),
    submitChallenge: () => Promise.reject(refuse('the local CA has no challenge')),
    finalizeOrder: ({ url }) => Promise.resolve(order(url, 'valid')),
    downloadCertificate: (_url, csrPem) => signLeaf(options.root, csrPem, options.now()),
    close: () => undefined,
  }
}

/** Signs a leaf of 7 days over the request's names; the root itself is not sent. */
async function signLeaf(root: LocalRoot, csrPem: string, now: Date): Promise<string> {
  const csr = new Pkcs10CertificateRequest(csrPem)
  const names = csr.extensions.find(
    (item): item is SubjectAlternativeNameExtension => item instanceof SubjectAlternativeNameExtension,
  )
  if (names === undefined || !(await csr.verify())) throw refuse('the request has no names, or its signature is wrong')
  const rootKeys = await importKeyPair(root.rootKeyPem)
  const rootEnd = new NodeCertificate(root.rootPem).validToDate.getTime()
  const leaf = await X509CertificateGenerator.create({
    serialNumber: newSerial(),
    issuer: new X509Certificate(root.rootPem).subjectName,
    notBefore: new Date(now.getTime() - BACKDATE_MS),
    notAfter: new Date(Math.min(now.getTime() + LEAF_LIFETIME_MS, rootEnd)),
    publicKey: csr.publicKey,
    signingKey: rootKeys.privateKey,
    signingAlgorithm,
    extensions: [
      // Critical, since the subject is empty (RFC 5280 section 4.2.1.6).
      new SubjectAlternativeNameExtension(
        names.names.items.map(({ value }) => ({ type: 'dns' as const, value })),
        true,
      ),
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      await AuthorityKeyIdentifierExtension.create(rootKeys.publicKey),
      await SubjectKeyIdentifierExtension.create(csr.publicKey),
    ],
  })
  return `${leaf.toString('pem')}\n`
}

/** 16 random bytes; the first bit is 0, since a serial number is positive (RFC 5280 section 4.1.2.2), the next is 1, so that none is short. */
function newSerial(): string {
  const bytes = randomBytes(16)
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40
  return bytes.toString('hex')
}

function refuse(detail: string): IssuerProblem {
  return new IssuerProblem({ type: ownProblems.malformedAnswer, detail })
}
