import { X509Certificate } from 'node:crypto'
import { rootCertificates } from 'node:tls'

/** Longest path that is built, leaf and root included. */
const MAX_DEPTH = 10

/** What a set of certificates gives above a leaf. */
export type Chain = {
  /** Leaf first, without the root unless the leaf is its own. */
  readonly path: readonly X509Certificate[]
  /** The root that was given, which is not sent to visitors. */
  readonly root: X509Certificate | null
  /** Null when it ends at a root that was given or that browsers know; else the one whose issuer is missing. */
  readonly missingIssuerOf: X509Certificate | null
}

/** The roots that browsers know, by subject. Made at the first upload: a few milliseconds. */
let known: ReadonlyMap<string, readonly X509Certificate[]> | null = null

/** Each certificate once, by its fingerprint, in the order of first appearance. */
export function withoutDuplicates(certificates: readonly X509Certificate[]): X509Certificate[] {
  return [...new Map(certificates.map((item) => [item.fingerprint256, item])).values()]
}

/**
 * Builds the shortest chain from `leaf` over `others`, in whatever order they are, to a root: a self-signed
 * one among them, or one of Mozilla's that Node brings. Certificates that are not valid at `now` are used
 * only where nothing else leads on. What does not belong to the chain is left out. Pure.
 */
export function buildChain(leaf: X509Certificate, others: readonly X509Certificate[], now: Date): Chain {
  const fresh = others.filter((item) => item.validFromDate <= now && item.validToDate > now)
  const complete = search(leaf, fresh)
  if (complete.missingIssuerOf === null || fresh.length === others.length) return complete
  const withOld = search(leaf, others)
  return withOld.missingIssuerOf === null ? withOld : complete
}

/** Breadth first, so that even certificates that all sign each other cost no more than each pair once. */
function search(leaf: X509Certificate, others: readonly X509Certificate[]): Chain {
  let paths: X509Certificate[][] = [[leaf]]
  const left = new Set(others)
  let longest = paths[0] ?? []
  for (let depth = 1; paths.length > 0 && depth <= MAX_DEPTH; depth += 1) {
    const complete = paths.map(ended).find((chain) => chain !== null)
    if (complete !== undefined) return complete
    longest = paths[0] ?? longest
    paths = paths.flatMap((path) => extended(path, left))
  }
  return { path: longest, root: null, missingIssuerOf: longest.at(-1) ?? leaf }
}

/** The path with each issuer of its top; an issuer is taken once. */
function extended(path: readonly X509Certificate[], left: Set<X509Certificate>): X509Certificate[][] {
  const top = path.at(-1)
  if (top === undefined) return []
  const issuers = [...left].filter((issuer) => issued(issuer, top))
  for (const issuer of issuers) left.delete(issuer)
  return issuers.map((issuer) => [...path, issuer])
}

/** The chain of a path that has come to a root, else null. */
function ended(path: readonly X509Certificate[]): Chain | null {
  const top = path.at(-1)
  if (top === undefined) return null
  if (path.length > 1 && isSelfSigned(top)) return { path: path.slice(0, -1), root: top, missingIssuerOf: null }
  return isSelfSigned(top) || isIssuedByKnownRoot(top) ? { path, root: null, missingIssuerOf: null } : null
}

function isSelfSigned(certificate: X509Certificate): boolean {
  return certificate.subject === certificate.issuer && verifies(certificate, certificate)
}

function issued(issuer: X509Certificate, certificate: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && verifies(certificate, issuer)
}

function isIssuedByKnownRoot(certificate: X509Certificate): boolean {
  known ??= Map.groupBy(
    rootCertificates.map((pem) => new X509Certificate(pem)),
    ({ subject }) => subject,
  )
  return known.get(certificate.issuer)?.some((root) => verifies(certificate, root)) ?? false
}

/** A key that cannot verify anything (a broken one) verifies nothing. */
function verifies(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return certificate.verify(issuer.publicKey)
  } catch {
    return false
  }
}
