import { createHash } from 'node:crypto'
import { isIP } from 'node:net'
import { http01Key, tlsAlpn01Key } from '../../contract/records.ts'
import { faultPoint } from '../../process/fault-point.ts'
import { DnsProviderError } from '../dns/provider.ts'
import { type ChallengeMeans, chooseChallenge } from './choose-challenge.ts'
import type { RemoteAuthorization, RemoteChallenge, RemoteOrder } from './issuer.ts'
import { writeHeld } from './lease.ts'
import type { DnsWait, OrderRun } from './order-run.ts'
import { CertificateError, ownFailures } from './problems.ts'
import * as store from './store.ts'
import { createChallengeCertificate } from './tls-alpn.ts'

/** Longest wait for the edges to confirm a challenge. */
const ACK_TIMEOUT_MS = 30_000

type Chosen = store.NewChallenge

/**
 * Answers what the issuer wants proven and tells it so, when it will be answered. Authorizations that
 * are valid already are skipped (RFC 8555 section 7.1.3 allows it). Returns what is waited for in DNS, or
 * null when all is told.
 */
export async function answerChallenges(
  run: OrderRun,
  order: store.OrderRow,
  remote: RemoteOrder,
): Promise<DnsWait | null> {
  const authorizations = await Promise.all(remote.authorizationUrls.map((url) => run.issuer.readAuthorization(url)))
  const chosen: Chosen[] = []
  for (const authorization of authorizations.filter(isOpen)) chosen.push(await choose(run, authorization))
  if (chosen.length === 0) return null
  await publish(run, order, chosen)
  const wait = await presentInDns(run, order, chosen)
  if (wait !== null) return wait
  await confirmEdges(run, order, chosen)
  faultPoint('order.challenge-published')
  for (const challenge of chosen) if (!challenge.isSubmitted) await run.issuer.submitChallenge(challenge)
  await writeHeld(run.db, run.lease, (tx) => store.markSubmitted(tx, order.id))
  faultPoint('order.challenge-submitted')
  return null
}

async function choose(run: OrderRun, authorization: RemoteAuthorization): Promise<Chosen> {
  const { name, isWildcard, url } = authorization
  const isAddress = isIP(name) !== 0
  const challenges = authorization.challenges.filter(({ type }) => !isAddress || type === 'http-01')
  const lasting = challenges.find(({ type }) => type === 'dns-persist-01')
  const means: ChallengeMeans = {
    hasPersistRecord: lasting !== undefined && (await stands(run, name, isWildcard, lasting)),
    hasDnsProvider: !isAddress && (await run.dns.covers(run.tenantId, name)),
    failedType: run.failedChallenge,
  }
  const challenge = chooseChallenge({ challenges, isWildcard }, means)
  if (challenge === null) throw new CertificateError(ownFailures.noChallenge(isWildcard ? `*.${name}` : name))
  return { ...challenge, name, authorizationUrl: url }
}

async function stands(run: OrderRun, name: string, isWildcard: boolean, { issuerDomains }: RemoteChallenge) {
  const account = await run.issuer.ensureAccount()
  return account !== null && run.dns.hasPersistRecord(name, { issuerDomains, accountUrl: account.url, isWildcard })
}

/** The rows come first: whatever happens later, what was begun is found and withdrawn. */
async function publish(run: OrderRun, order: store.OrderRow, chosen: readonly Chosen[]): Promise<void> {
  const kept = new Set(await store.challengeUrls(run.db, order.id))
  const fresh = chosen.filter(({ url }) => !kept.has(url))
  if (fresh.length === 0) return
  const certificates = await Promise.all(fresh.map((challenge) => sealedCertificate(run, challenge)))
  await writeHeld(run.db, run.lease, async (tx) => {
    for (const [index, challenge] of fresh.entries())
      await store.publishChallenge(tx, order.id, challenge, certificates[index] ?? null)
  })
}

async function sealedCertificate(run: OrderRun, { type, name, keyAuthorization }: Chosen) {
  if (type !== 'tls-alpn-01') return null
  const { certificatePem, keyPem } = await createChallengeCertificate(name, keyAuthorization, run.now())
  return { certificatePem, keySealed: run.vault.seal(keyPem, store.challengeKeyContext(name)) }
}

/** The longest wait among the records, or null when every one is everywhere. */
async function presentInDns(run: OrderRun, order: store.OrderRow, chosen: readonly Chosen[]): Promise<DnsWait | null> {
  let longest: DnsWait | null = null
  for (const { type, name, keyAuthorization } of chosen) {
    if (type !== 'dns-01') continue
    const value = createHash('sha256').update(keyAuthorization).digest('base64url')
    const { tenantId, signal } = run
    const result = await run.dns.present({ tenantId, orderId: order.id, name, value, signal }).catch(notWritten(order))
    if (result.state === 'waiting' && result.retryAfterMs >= (longest?.retryAfterMs ?? 0)) longest = result
  }
  return longest
}

/** What a provider says is the tenant's to mend, not a fault of ours. */
function notWritten({ names }: store.OrderRow): (error: unknown) => never {
  return (error) => {
    if (!(error instanceof DnsProviderError)) throw error
    const reason = error.message.replace(/\.$/, '')
    throw new CertificateError(ownFailures.dnsProvider(names, reason, error.retryAfterMs), error)
  }
}

/** The issuer is told only when it will be answered. */
async function confirmEdges(run: OrderRun, order: store.OrderRow, chosen: readonly Chosen[]): Promise<void> {
  const keys = chosen.flatMap(({ type, token, name }) => {
    if (type === 'http-01') return [{ kind: 'challenge', key: http01Key(token) } as const]
    return type === 'tls-alpn-01' ? [{ kind: 'challenge', key: tlsAlpn01Key(name) } as const] : []
  })
  if (keys.length === 0) return
  const isAcked = await run.awaitAcked(keys, run.signal, ACK_TIMEOUT_MS)
  run.signal.throwIfAborted()
  if (!isAcked) throw new CertificateError(ownFailures.unconfirmed(order.names))
}

function isOpen(authorization: RemoteAuthorization): boolean {
  return !authorization.isValid && authorization.error === null
}
