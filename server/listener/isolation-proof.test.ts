import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { createTestAuthority, type TestCertificate } from '../test/certificates.ts'
import { runtimes } from '../test/listener-rig.ts'
import { run } from '../test/visit.ts'
import { workerLaunch } from './worker-command.ts'

const child = join(import.meta.dirname, '..', 'test', 'isolation-child.ts')
let certificate: TestCertificate

beforeAll(async () => {
  certificate = await (await createTestAuthority()).issue(['proof.example'])
})

describe.each(runtimes)('the proof of isolation on %s', (runtime) => {
  const outcome = async (mode: 'own' | 'shared'): Promise<string> => {
    const launch = workerLaunch(runtime, null)
    if (launch === null) throw new Error(`${runtime} is not installed`)
    const { privateKeyPem, chainPem } = certificate
    const args = [...launch.args.slice(0, -1), child, mode, privateKeyPem, chainPem]
    const { stdout, stderr } = await run(launch.command, args)
    return stdout.trim() || stderr
  }

  test('holds for contexts that are made as those of sites are', async () => {
    expect(await outcome('own')).toBe('proven')
  })

  test('fails where two sites share a context', async () => {
    expect(await outcome('shared')).toBe('TLSv1.2: a session of one site is resumed at another')
  })
})
