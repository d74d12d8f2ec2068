import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { createGzip } from 'node:zlib'
import { pack } from 'tar-stream'
import type { HostnameView } from '../control/domains/schema.ts'
import { type ApiClient, signIn } from './client.ts'
import { type Pebble, type PebbleOptions, startPebble } from './pebble.ts'
import { freePorts } from './ports.ts'
import { eventually, type Stack, startStack } from './stack.ts'

/** A whole installation beside a CA of its own, with its first admin signed in. */
export type World = AsyncDisposable & {
  readonly pebble: Pebble
  readonly stack: Stack
  readonly api: ApiClient
  /** PEM root of what Pebble issues. */
  readonly root: string
  /** The same as a file, for curl. */
  readonly rootFile: string
}

/** What a world's site is made of. */
export type NewSite = { readonly tenantId: string; readonly siteId: string }

/** What a test chooses of its world. */
export type WorldOptions = {
  readonly env?: NodeJS.ProcessEnv
  readonly pebble?: Partial<PebbleOptions>
  readonly commands?: readonly string[]
  readonly address?: string
}

/** Starts Pebble and the whole product, which orders from it. */
export async function startWorld(options: WorldOptions = {}): Promise<World> {
  const [httpPort = 0, httpsPort = 0] = await freePorts(2)
  const pebble = await startPebble({ nonceRejectPercent: 0, ...options.pebble, httpPort, tlsPort: httpsPort })
  try {
    const env = {
      NAMEPLATE_ACME_DIRECTORY: pebble.directoryUrl,
      NAMEPLATE_ACME_CA_FILE: pebble.caFile,
      NAMEPLATE_ACME_TERMS_AGREED: 'true',
      NAMEPLATE_DNS_SERVERS: pebble.dnsServer,
      ...options.env,
    }
    const { commands = ['start'], address = '' } = options
    const stack = await startStack({ env, httpPort, httpsPort, commands, address })
    const root = await pebble.rootPem()
    const rootFile = join(stack.dataDir, 'test-root.pem')
    writeFileSync(rootFile, root)
    const dispose = async (): Promise<void> => {
      await stack[Symbol.asyncDispose]()
      await pebble[Symbol.asyncDispose]()
    }
    return {
      pebble,
      stack,
      api: await eventually(() => signIn(stack.apiUrl), 'the first sign-in'),
      root,
      rootFile,
      [Symbol.asyncDispose]: dispose,
    }
  } catch (error) {
    await pebble[Symbol.asyncDispose]()
    throw error
  }
}

/** A `.tar.gz` of these files. */
export async function archiveOf(files: Readonly<Record<string, string | Buffer>>): Promise<Buffer> {
  const archive = pack()
  for (const [name, content] of Object.entries(files)) archive.entry({ name }, content)
  archive.finalize()
  return buffer(archive.pipe(createGzip()))
}

/** Makes a tenant with a static site that has one release. */
export async function makeSite(
  api: ApiClient,
  name: string,
  files: Readonly<Record<string, string | Buffer>>,
): Promise<NewSite> {
  const tenant = await api.post<{ id: string }>('/tenants', { name: `Tenant of ${name}` })
  return addSite(api, tenant.id, name, files)
}

/** Adds a static site with one release to a tenant. */
export async function addSite(
  api: ApiClient,
  tenantId: string,
  name: string,
  files: Readonly<Record<string, string | Buffer>>,
): Promise<NewSite> {
  const site = await api.post<{ id: string }>('/sites', { name, tenantId, kind: 'static' })
  await api.upload(`/sites/${site.id}/releases`, 'application/gzip', await archiveOf(files))
  return { tenantId, siteId: site.id }
}

/** Adds a hostname and puts its TXT record into the world's DNS, as its owner would. */
export async function addHostname(world: World, site: NewSite, name: string): Promise<HostnameView> {
  const hostname = await world.api.post<HostnameView>('/hostnames', {
    name,
    siteId: site.siteId,
    tenantId: site.tenantId,
  })
  const record = hostname.ownership.instructions.find((instruction) => instruction.type === 'TXT')
  if (record === undefined) throw new Error(`no TXT instruction for ${name}`)
  await world.pebble.setTxt(record.name, record.value)
  await world.api.post(`/hostnames/${hostname.id}/check`)
  return hostname
}

/** Waits until the panel says that a hostname is live. */
export async function untilLive(api: ApiClient, id: string): Promise<HostnameView> {
  let last: HostnameView | undefined
  const isLive = async (): Promise<HostnameView | false> => {
    last = await api.get<HostnameView>(`/hostnames/${id}`)
    return last.live && last
  }
  return eventually(isLive, `hostname ${id} is live`).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${JSON.stringify(last)}`)
  })
}

/** What the product logged as an error: nothing, where no test broke anything. */
export function loggedErrors(world: World): string[] {
  return world.stack
    .output()
    .split('\n')
    .filter((line) => /"level":[56]0/.test(line))
}
