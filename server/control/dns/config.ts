import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { normalizeName } from '../../contract/names.ts'
import type { Reach } from '../../contract/reach.ts'
import { AppError } from '../errors.ts'
import type { ProviderConfig, ProviderKind } from './schema.ts'
import { splitServer } from './server-text.ts'

/** Rules of what may be set for a provider. All throw INVALID_INPUT that names the field. */

type Field = keyof ProviderConfig

const needed: Record<ProviderKind, readonly Field[]> = {
  rfc2136: ['server', 'keyName'],
  powerdns: ['url'],
  cloudflare: [],
  hook: ['command'],
  webhook: ['url'],
}
const possible: Record<ProviderKind, readonly Field[]> = {
  rfc2136: ['server', 'keyName', 'algorithm'],
  powerdns: ['url', 'serverId', 'caPem'],
  cloudflare: [],
  hook: ['command'],
  webhook: ['url', 'caPem'],
}

/** Shortest key that signs webhooks. */
const MIN_WEBHOOK_KEY = 16
/** A TSIG key with fewer bytes can be guessed. */
const MIN_TSIG_BYTES = 16
const KEY_NAME = /^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/

/** The config of a kind as it is stored: every field checked, defaults filled in. */
export function checkConfig(kind: ProviderKind, input: ProviderConfig, reach: Reach): ProviderConfig {
  for (const field of needed[kind]) if (input[field] === undefined) throw invalid(`config.${field}`, 'is required')
  for (const field of Object.keys(input) as Field[])
    if (!possible[kind].includes(field)) throw invalid(`config.${field}`, `does not belong to the kind ${kind}`)
  if (kind === 'rfc2136') return checkRfc2136(input, reach)
  if (kind === 'hook') return { command: checkCommand(input.command ?? '') }
  if (kind === 'cloudflare') return {}
  const shared = {
    url: checkUrl(input.url ?? '', reach),
    ...(input.caPem === undefined ? {} : checkRoots(input.caPem)),
  }
  if (kind === 'webhook') return shared
  const { serverId = 'localhost' } = input
  if (!/^[a-z0-9._-]+$/i.test(serverId)) throw invalid('config.serverId', 'may hold letters, digits and . _ - alone')
  return { ...shared, serverId }
}

/** The secret of a kind as it is sealed, or null where the kind has none. */
export function checkSecret(kind: ProviderKind, secret: string | undefined): string | null {
  if (secret === undefined) {
    if (kind === 'hook') return null
    throw invalid('secret', 'is required')
  }
  if (kind === 'rfc2136') {
    const isBase64 = /^[A-Za-z0-9+/]+={0,2}$/.test(secret.trim())
    if (!isBase64 || Buffer.from(secret, 'base64').length < MIN_TSIG_BYTES)
      throw invalid('secret', `is not a TSIG key: base64 of at least ${MIN_TSIG_BYTES} bytes, as tsig-keygen prints it`)
    return secret.trim()
  }
  if (kind === 'hook') return secret
  if (!/^[\x21-\x7e]+$/.test(secret)) throw invalid('secret', 'has spaces or letters in it that no such key has')
  if (kind === 'webhook' && secret.length < MIN_WEBHOOK_KEY)
    throw invalid('secret', `is too short: at least ${MIN_WEBHOOK_KEY} characters`)
  return secret
}

/** Zones as they are stored: normalised, each once, in order. A label may begin with `_` here. */
export function checkZones(zones: readonly string[]): string[] {
  const names = zones.map((zone, index) => {
    const [, service = '', rest = ''] = /^((?:_[a-z0-9-]{1,62}\.)*)(.*)$/i.exec(zone.trim()) ?? []
    const result = normalizeName(rest)
    if (result.ok) return `${service.toLowerCase()}${result.name}`
    throw invalid(`zones.${index}`, `"${zone.slice(0, 100)}" is not the name of a zone`)
  })
  return [...new Set(names)].toSorted()
}

/**
 * Whether a changed config would send the present secret to another place: then the secret has to be
 * given anew, or whoever may change the config could read it.
 */
export function leadsElsewhere(before: ProviderConfig, after: ProviderConfig): boolean {
  return (['server', 'url', 'command', 'caPem'] as const).some((field) => before[field] !== after[field])
}

function checkRfc2136(input: ProviderConfig, reach: Reach): ProviderConfig {
  const { server = '', algorithm = 'hmac-sha256' } = input
  try {
    checkHost(splitServer(server).host, reach, 'config.server')
  } catch (error) {
    if (error instanceof AppError) throw error
    throw invalid('config.server', 'is not a name or an address, with or without a port')
  }
  const keyName = (input.keyName ?? '').toLowerCase().replace(/\.$/, '')
  if (!KEY_NAME.test(keyName)) throw invalid('config.keyName', 'is not the name of a key')
  return { server, keyName, algorithm }
}

function checkUrl(text: string, reach: Reach): string {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !['https:', 'http:'].includes(url.protocol)) throw invalid('config.url', 'is not an https:// URL')
  if (url.username !== '' || url.password !== '') throw invalid('config.url', 'must not have a user name in it')
  if (url.hash !== '') throw invalid('config.url', 'must not have a # in it')
  checkHost(url.hostname.replace(/^\[(.*)\]$/, '$1'), reach, 'config.url')
  return url.href
}

/** Names are judged when they are dialled, since what they lead to may change. */
function checkHost(host: string, reach: Reach, field: string): void {
  if (isIP(host) !== 0 && !reach(host)) throw invalid(field, `${host} is not a public address`)
}

function checkCommand(command: string): string {
  if (command.startsWith('/') && !command.includes('\0')) return command
  throw invalid('config.command', 'is not an absolute path')
}

function checkRoots(caPem: string): { caPem: string } {
  const blocks = caPem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  try {
    if (blocks.map((block) => new X509Certificate(block)).length > 0) return { caPem: blocks.join('\n') }
  } catch {
    // The one error below is for both.
  }
  throw invalid('config.caPem', 'is not one or more certificates in PEM')
}

/** The error for one field. */
export function invalid(field: string, detail: string): AppError {
  return new AppError('INVALID_INPUT', `${field}: ${detail}.`, { errors: [{ field, detail }] })
}
