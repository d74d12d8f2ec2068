import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runtimes } from '../listener-rig.ts'
import { scannedAddresses, startScannedRig } from '../scanned-rig.ts'
import { run } from '../visit.ts'

/** A request that is sent before the handshake is done could be sent again by somebody else (RFC 8446 section 8). */
test.each(runtimes)(
  '%s takes no early data: its tickets promise none, and a client that has some keeps it back',
  async (runtime) => {
    const { rig } = await startScannedRig(runtime)
    const folder = mkdtempSync(join(tmpdir(), 'np-early-'))
    try {
      const { name, shared } = scannedAddresses
      const request = `GET / HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`
      const [session, early] = [join(folder, 'session.pem'), join(folder, 'early.txt')]
      writeFileSync(early, request)
      const client = ['s_client', '-connect', `${shared}:${rig.httpsPort}`, '-servername', name, '-tls1_3', '-ign_eof']
      const first = await run('openssl', [...client, '-sess_out', session], request)
      expect(first.stdout).toContain('HTTP/1.1 200')
      const { stdout: text } = await run('openssl', ['sess_id', '-in', session, '-noout', '-text'])
      expect(text).toMatch(/TLS session ticket:/)
      expect(text).toMatch(/Max Early Data: 0\b/)
      const second = await run('openssl', [...client, '-sess_in', session, '-early_data', early], request)
      expect(second.stdout).toMatch(/^Reused, TLSv1\.3/m)
      expect(second.stdout).toContain('Early data was not sent')
      expect(second.stdout).toContain('HTTP/1.1 200')
    } finally {
      await rig.close()
      rmSync(folder, { recursive: true })
    }
  },
)
