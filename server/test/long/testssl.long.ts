import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ListenerRig, runtimes } from '../listener-rig.ts'
import { scannedAddresses, startScannedRig } from '../scanned-rig.ts'
import { run } from '../visit.ts'

const TIMEOUT_MS = 900_000

type Finding = { readonly id: string; readonly severity: string; readonly finding: string }

/** What a private test CA and a test site bring: chain, revocation, DNS, no HSTS, and the grade that follows from these. */
const OF_THE_TEST =
  /^(cert_|OCSP|DNS_CAArecord|HSTS|HPKP|banner|security_headers|overall_grade|final_score|grade_cap|scanTime)/
/** Compressed answers, which docs/listener.md answers. */
const BREACH = 'BREACH'

/** The whole of testssl.sh, some minutes each time. */
describe.each(runtimes)('testssl.sh of %s', (runtime) => {
  let rig: ListenerRig
  beforeAll(async () => {
    rig = (await startScannedRig(runtime)).rig
  })
  afterAll(() => rig?.close())

  const scan = async (address: string, name: string): Promise<Finding[]> => {
    const folder = mkdtempSync(join(tmpdir(), 'np-testssl-'))
    try {
      const file = join(folder, 'findings.json')
      const options = ['--quiet', '--color', '0', '--warnings', 'off', '--jsonfile', file, `--ip=${address}`]
      await run('testssl', [...options, `https://${name}:${rig.httpsPort}/`], '', TIMEOUT_MS)
      return JSON.parse(readFileSync(file, 'utf8')) as Finding[]
    } finally {
      rmSync(folder, { recursive: true })
    }
  }
  const faults = (findings: readonly Finding[]): string[] =>
    findings.filter(({ severity }) => !['OK', 'INFO'].includes(severity)).map(({ id }) => id)

  test('a shared address: nothing but what the test brings, and BREACH', { timeout: TIMEOUT_MS }, async () => {
    const findings = await scan(scannedAddresses.shared, scannedAddresses.name)
    expect(findings.length).toBeGreaterThan(100)
    const found = faults(findings).filter((id) => !OF_THE_TEST.test(id) && id !== BREACH)
    // Its own handshake for this question asks for what a modern server has not; so it is asked otherwise.
    expect(found.filter((id) => id !== 'secure_renego')).toEqual([])
    const client = ['-connect', `${scannedAddresses.shared}:${rig.httpsPort}`, '-servername', scannedAddresses.name]
    const { stdout } = await run('openssl', ['s_client', '-tls1_2', ...client])
    expect(stdout).toContain('Secure Renegotiation IS supported')
  })

  test('a legacy address: the same scan does see TLS 1.0', { timeout: TIMEOUT_MS }, async () => {
    const findings = await scan(scannedAddresses.legacy, 'old.example.com')
    expect(findings.find(({ id }) => id === 'TLS1')?.finding).toMatch(/^offered/)
    expect(faults(findings)).toContain('TLS1')
  })
})
