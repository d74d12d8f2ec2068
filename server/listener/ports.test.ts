import { execFile } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, describe, expect, test } from 'vitest'
import type { Listen } from '../process/settings.ts'
import { PortError, resolvePorts } from './ports.ts'

const run = promisify(execFile)
const nobodyHolds = { hold: () => false }
const wish = (listen: readonly Listen[] | null) => ({ listen, port: 0, fallback: 0, setting: 'NAMEPLATE_HTTPS_LISTEN' })
const open: net.Server[] = []

async function occupy(options: net.ListenOptions): Promise<number> {
  const server = net.createServer()
  server.listen({ port: 0, host: '127.0.0.1', ...options })
  open.push(server)
  await once(server, 'listening')
  return (server.address() as net.AddressInfo).port
}

async function problem(promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.then(
    () => null,
    (reason) => reason,
  )
  expect(error).toBeInstanceOf(PortError)
  return (error as PortError).message
}

afterEach(() => {
  for (const server of open.splice(0)) server.close()
})

describe('ports', () => {
  test('one port for both HTTPS and HTTP is told as what it is', async () => {
    const [[free] = []] = await resolvePorts([wish([{ address: '127.0.0.1', port: 0 }])], nobodyHolds)
    const both = { ...wish([{ address: '127.0.0.1', port: free?.port ?? 0 }]), setting: 'NAMEPLATE_HTTP_LISTEN' }
    expect(await problem(resolvePorts([{ ...both, setting: 'NAMEPLATE_HTTPS_LISTEN' }, both], nobodyHolds))).toBe(
      `NAMEPLATE_HTTP_LISTEN: port ${free?.port} is asked for twice; give HTTPS and HTTP a port each`,
    )
  })

  test('every address is IPv4 and IPv6 beside each other, on one port', async () => {
    const [binds = []] = await resolvePorts([wish([{ address: null, port: 0 }])], nobodyHolds)
    expect(binds[0]).toMatchObject({ address: '0.0.0.0', ipv6Only: false })
    expect(binds[0]?.port).toBeGreaterThan(0)
    if (binds.length > 1) expect(binds[1]).toEqual({ address: '::', port: binds[0]?.port, ipv6Only: true })
  })

  test('are free again after the probe', async () => {
    const [[bind] = []] = await resolvePorts([wish([{ address: '127.0.0.1', port: 0 }])], nobodyHolds)
    expect(await occupy({ port: bind?.port ?? 0 })).toBe(bind?.port)
  })

  test.each([{}, { reusePort: true }])('that a foreign program has are one clear error (%o)', async (options) => {
    const port = await occupy(options)
    const text = await problem(resolvePorts([wish([{ address: '127.0.0.1', port }])], nobodyHolds))
    expect(text).toBe(
      `NAMEPLATE_HTTPS_LISTEN: port ${port} of 127.0.0.1 is in use by another program; stop it, or choose another port`,
    )
    const every = await problem(resolvePorts([wish([{ address: null, port }])], nobodyHolds))
    expect(every).toContain(`port ${port} is in use by another program`)
  })

  test('that orphan workers of ours have are taken as free', async () => {
    const port = await occupy({ reusePort: true })
    const bind = { address: '127.0.0.1', port, ipv6Only: false }
    const [binds] = await resolvePorts([wish([{ address: '127.0.0.1', port }])], {
      hold: (asked) => asked.port === port,
    })
    expect(binds).toEqual([bind])
  })

  test('an address of another machine, and a port named twice', async () => {
    const text = await problem(resolvePorts([wish([{ address: '192.0.2.1', port: 0 }])], nobodyHolds))
    expect(text).toContain('192.0.2.1 is no address of this machine')
    const twice = [
      { address: null, port: 4443 },
      { address: '127.0.0.1', port: 4443 },
    ]
    expect(await problem(resolvePorts([wish(twice)], nobodyHolds))).toContain('port 4443 is named for every address')
  })

  test.runIf(process.getuid?.() === 0)('that are not permitted fall back, unless they were asked for', async () => {
    const script = (listen: string, fallback: number) =>
      `import { resolvePorts } from '${fileURLToPath(new URL('ports.ts', import.meta.url))}'
       const wish = { listen: ${listen}, port: 443, fallback: ${fallback}, setting: 'NAMEPLATE_HTTPS_LISTEN' }
       await resolvePorts([wish], { hold: () => false }).then(
         ([binds]) => console.log(binds[0].port), (error) => console.log(error.message))`
    const asNobody = async (text: string) => {
      const account = ['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath, '--input-type=module']
      const { stdout } = await run('setpriv', [...account, '-e', text], { cwd: '/' })
      return stdout.trim()
    }
    const port = await occupy({})
    for (const server of open.splice(0)) server.close()
    expect(await asNobody(script('null', port))).toBe(String(port))
    expect(await asNobody(script("[{ address: '127.0.0.1', port: 443 }]", port))).toContain(
      'NAMEPLATE_HTTPS_LISTEN: port 443 of 127.0.0.1 needs the right to bind low ports',
    )
  })
})
