import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { join, resolve } from 'node:path'
import { parseEnv } from 'node:util'
import { parseCidr } from '../contract/reach.ts'
import { OperatorError } from './operator-error.ts'

/** A wrong setting. `message` is one line that names the variable and says what to do. */
export class SettingsError extends OperatorError {
  override name = 'SettingsError'
}

/** An address and port to bind; address null is every address of the machine, IPv4 and IPv6. */
export type Listen = { readonly address: string | null; readonly port: number }

/** Bytes that are not to be printed are kept out of logs by being in this one place. */
export type Settings = {
  readonly dataDir: string
  readonly databaseUrl: string | null
  readonly apiListen: Listen
  /** Null: every address, 443, or 8443 where 443 is not permitted. */
  readonly httpsListen: readonly Listen[] | null
  /** Null: every address, 80, or 8080 where 80 is not permitted. */
  readonly httpListen: readonly Listen[] | null
  readonly metricsListen: Listen
  readonly panelHostname: string | null
  readonly masterKeyFile: string
  readonly user: string | null
  readonly workers: number | null
  readonly listenerRuntime: 'auto' | 'bun' | 'node'
  readonly logLevel: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace'
  readonly adminEmail: string | null
  readonly adminPassword: string | null
  readonly acmeDirectory: string | null
  readonly acmeTermsAgreed: boolean
  readonly acmeCaFile: string | null
  readonly acmeEabKid: string | null
  readonly acmeEabHmacKey: string | null
  readonly acmeEmail: string | null
  readonly acmeProfile: string | null
  readonly dnsServers: readonly string[] | null
  readonly outboundAllow: readonly string[]
  /** Load balancers from which the PROXY protocol is required; from elsewhere it is refused. */
  readonly proxyProtocolFrom: readonly string[]
  /** The Unix socket between the planes; null: in the data directory, or in the temporary one when that path is too long. */
  readonly linkSocket: string | null
  /** Group that may use the socket besides its owner (mode 0660); null: owner alone (0600). */
  readonly linkGroup: string | null
}

type Environment = Readonly<Record<string, string | undefined>>
type Reader<T> = (text: string) => T | undefined

const levels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const

/**
 * Reads and checks all settings. An unknown `NAMEPLATE_*` variable is an error too, so that a
 * misspelt one is not silently ignored. Throws `SettingsError` with one line.
 */
export function readSettings(env: Environment): Settings {
  const known = new Set<string>()
  const get = <T>(name: string, expected: string, read: Reader<T>): T | null => {
    known.add(name)
    const text = env[name]
    if (text === undefined || text === '') return null
    const value = read(text)
    if (value === undefined) throw new SettingsError(`${name}: ${expected}, not "${text}"`)
    return value
  }
  const secret = (name: string): string | null => get(name, 'a text', text)
  const dataDir = resolve(get('NAMEPLATE_DATA_DIR', 'a folder', text) ?? './data')
  const settings: Settings = {
    dataDir,
    databaseUrl: databaseUrl(env),
    apiListen: get('NAMEPLATE_API_LISTEN', 'address:port as in 127.0.0.1:3000', listen) ?? {
      address: '127.0.0.1',
      port: 3000,
    },
    httpsListen: get('NAMEPLATE_HTTPS_LISTEN', 'comma-separated address:port as in 192.0.2.1:443 or :443', listens),
    httpListen: get('NAMEPLATE_HTTP_LISTEN', 'comma-separated address:port as in 192.0.2.1:80 or :80', listens),
    metricsListen: get('NAMEPLATE_METRICS_LISTEN', 'address:port as in 127.0.0.1:9464', listen) ?? {
      address: '127.0.0.1',
      port: 9464,
    },
    panelHostname: get('NAMEPLATE_PANEL_HOSTNAME', 'a host name', text),
    masterKeyFile: resolve(get('NAMEPLATE_MASTER_KEY_FILE', 'a file', text) ?? join(dataDir, 'master.key')),
    user: get('NAMEPLATE_USER', 'a user name', text),
    workers: get('NAMEPLATE_WORKERS', 'a number from 1 to 256', (t) => whole(t, 1, 256)),
    listenerRuntime: get('NAMEPLATE_LISTENER_RUNTIME', 'auto, bun or node', oneOf(['auto', 'bun', 'node'])) ?? 'auto',
    logLevel: get('NAMEPLATE_LOG_LEVEL', `one of ${levels.join(', ')}`, oneOf(levels)) ?? 'info',
    adminEmail: get('NAMEPLATE_ADMIN_EMAIL', 'an e-mail address', (t) => (/^\S+@\S+$/.test(t) ? t : undefined)),
    adminPassword: secret('NAMEPLATE_ADMIN_PASSWORD'),
    acmeDirectory: get('NAMEPLATE_ACME_DIRECTORY', 'an https URL', httpsUrl),
    acmeTermsAgreed: get('NAMEPLATE_ACME_TERMS_AGREED', 'true or false', flag) ?? false,
    acmeCaFile: get('NAMEPLATE_ACME_CA_FILE', 'a file', text),
    acmeEabKid: get('NAMEPLATE_ACME_EAB_KID', 'a text', text),
    acmeEabHmacKey: eabKey(env, known),
    acmeEmail: get('NAMEPLATE_ACME_EMAIL', 'an e-mail address', (t) => (/^\S+@\S+$/.test(t) ? t : undefined)),
    acmeProfile: get('NAMEPLATE_ACME_PROFILE', 'a text', text),
    dnsServers: get('NAMEPLATE_DNS_SERVERS', 'comma-separated address:port as in 192.0.2.53:53', dnsServers),
    outboundAllow: get('NAMEPLATE_OUTBOUND_ALLOW', 'comma-separated CIDRs as in 10.0.0.0/8', cidrs) ?? [],
    proxyProtocolFrom: get('NAMEPLATE_PROXY_PROTOCOL_FROM', 'comma-separated CIDRs as in 10.0.0.0/8', cidrs) ?? [],
    linkSocket: get('NAMEPLATE_LINK_SOCKET', 'a path of at most 100 bytes', shortPath),
    linkGroup: get('NAMEPLATE_LINK_GROUP', 'a group name', text),
  }
  refuseUnknown(env, known)
  return settings
}

/** The environment with a `.env` file of the current directory under it, which the environment overrules. */
export function environmentWithFile(env: Environment, file = '.env'): Environment {
  try {
    return { ...parseEnv(readFileSync(file, 'utf8')), ...env }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return env
    throw new SettingsError(`${file}: cannot be read (${(error as Error).message})`)
  }
}

function refuseUnknown(env: Environment, known: ReadonlySet<string>): void {
  for (const name of Object.keys(env)) {
    if (!name.startsWith('NAMEPLATE_') || known.has(name)) continue
    throw new SettingsError(`${name}: there is no such setting; see README.md for those that there are`)
  }
}

function databaseUrl(env: Environment): string | null {
  const url = env.DATABASE_URL
  if (url === undefined || url === '') return null
  if (URL.canParse(url) && /^postgres(ql)?:$/.test(new URL(url).protocol)) return url
  throw new SettingsError(
    'DATABASE_URL: a URL like postgresql://user:password@host:5432/database; write / @ : ? # % of a password as %2F %40 %3A %3F %23 %25 (its value is not shown here)',
  )
}

/** RFC 8555 section 7.3.4: the MAC key in base64url; plain base64 is what some CAs show. */
function eabKey(env: Environment, known: Set<string>): string | null {
  const name = 'NAMEPLATE_ACME_EAB_HMAC_KEY'
  known.add(name)
  const value = env[name]
  if (value === undefined || value === '') return null
  if (/^[\w+/-]{16,}={0,2}$/.test(value)) return value
  throw new SettingsError(`${name}: the base64url key that the CA gave (its value is not shown here)`)
}

function text(value: string): string {
  return value
}

function flag(value: string): boolean | undefined {
  return value === 'true' ? true : value === 'false' ? false : undefined
}

function whole(value: string, least: number, most: number): number | undefined {
  const number = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN
  return number >= least && number <= most ? number : undefined
}

function oneOf<T extends string>(values: readonly T[]): Reader<T> {
  return (value) => values.find((item) => item === value)
}

function listen(value: string): Listen | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(value.trim())
  const port = match === null ? undefined : whole(match[3] ?? '', 0, 65_535)
  if (match === null || port === undefined) return undefined
  const address = match[1] ?? match[2] ?? ''
  if (address === '' || address === '*') return { address: null, port }
  const plain = address === 'localhost' ? '127.0.0.1' : address
  return isIP(plain) === 0 ? undefined : { address: plain, port }
}

function listens(value: string): Listen[] | undefined {
  return every(value, listen)
}

function dnsServers(value: string): string[] | undefined {
  return every(value, (item) => {
    const bare = item.replace(/^\[(.*)\](:\d+)?$/, '$1')
    const ok = isIP(bare) !== 0 || listen(item)?.address != null
    return ok ? item : undefined
  })
}

function cidrs(value: string): string[] | undefined {
  return every(value, (item) => {
    try {
      parseCidr(item)
      return item
    } catch {
      return undefined
    }
  })
}

function every<T>(value: string, read: Reader<T>): T[] | undefined {
  const items = value.split(',').map((item) => read(item.trim()))
  return items.some((item) => item === undefined) ? undefined : (items as T[])
}

function httpsUrl(value: string): string | undefined {
  return URL.canParse(value) && new URL(value).protocol === 'https:' ? value : undefined
}

/** A Unix socket's path is limited to 107 bytes by the kernel (unix(7)). */
function shortPath(value: string): string | undefined {
  return Buffer.byteLength(resolve(value)) <= 100 ? resolve(value) : undefined
}
