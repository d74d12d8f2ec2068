import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ListenerRig, runtimes } from '../listener-rig.ts'
import { scannedAddresses, startScannedRig } from '../scanned-rig.ts'
import { run } from '../visit.ts'

/** sslscan of a shared address finds nothing; of a legacy address it finds what is there, so it is known to see it. */
describe.each(runtimes)('sslscan of %s', (runtime) => {
  let rig: ListenerRig
  beforeAll(async () => {
    rig = (await startScannedRig(runtime)).rig
  })
  afterAll(() => rig?.close())

  const scan = async (address: string, ...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await run('sslscan', ['--no-colour', ...args, `${address}:${rig.httpsPort}`])
    expect([code, stderr]).toEqual([0, ''])
    return stdout
  }
  const protocols = (output: string): Record<string, string> =>
    Object.fromEntries(
      [...output.matchAll(/^(SSLv\d|TLSv1\.\d) +(enabled|disabled)$/gm)].map(([, name, is]) => [name, is]),
    )
  const suites = (output: string): string[] =>
    [...output.matchAll(/^(?:Preferred|Accepted) +TLSv1\.\d +\d+ bits +(\S+)/gm)].map(([, name]) => name ?? '')

  test('a shared address: TLS 1.2 and 1.3 with forward secrecy and AEAD alone, no renegotiation, no Heartbleed', async () => {
    const output = await scan(scannedAddresses.shared, `--sni-name=${scannedAddresses.name}`)
    const off = { SSLv2: 'disabled', SSLv3: 'disabled', 'TLSv1.0': 'disabled', 'TLSv1.1': 'disabled' }
    expect(protocols(output)).toEqual({ ...off, 'TLSv1.2': 'enabled', 'TLSv1.3': 'enabled' })
    expect(suites(output).length).toBeGreaterThan(3)
    expect(suites(output).filter((name) => !/^(?:TLS_|ECDHE-).*(?:GCM|CHACHA20)/.test(name))).toEqual([])
    expect(output).toContain('Session renegotiation not supported')
    expect(output).not.toMatch(/: vulnerable|Insecure|weak|[^t] vulnerable/i)
    expect(output).toContain('Server supports TLS Fallback SCSV')
  })

  test('a shared address says nothing to who says no name', async () => {
    const output = await scan(scannedAddresses.shared)
    expect(suites(output)).toEqual([])
    expect(output).not.toContain('Subject:')
  })

  test('a legacy address: the same scan does find TLS 1.0 and its suites', async () => {
    const output = await scan(scannedAddresses.legacy)
    expect(protocols(output)).toMatchObject({ SSLv2: 'disabled', SSLv3: 'disabled', 'TLSv1.0': 'enabled' })
    expect(suites(output)).toContain('AES128-SHA')
    expect(suites(output).filter((name) => /RC4|NULL|EXP|DES-CBC-/.test(name))).toEqual([])
  })
})
