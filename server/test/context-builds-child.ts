import { generateSealKeyPair, sealTo } from '../contract/sealing.ts'
import { createContexts } from '../listener/contexts.ts'

/**
 * `context-builds-child.ts <builds> <key PEM> <chain PEM>`: builds that many contexts, each for another site, in a
 * cache with room for some fifty, and prints by how many MB the process has grown since a fifth of them were built.
 */
const [, , builds, keyPem, chainPem] = process.argv
const fingerprint = 'ab'.repeat(32)
const keyPair = generateSealKeyPair()
const sealedKey = sealTo(keyPair.publicKey, Buffer.from(String(keyPem)), fingerprint).toString('base64')
const certificate = { chainPem: String(chainPem), sealedKey, names: [], notAfter: '9999-12-31T00:00:00Z' }
const contexts = createContexts({
  reader: { get: (kind) => (kind === 'certificate' ? certificate : null) as never },
  keyPair,
  warn: ({ reason }) => console.error(reason),
  maxBytes: 2 * 1024 * 1024,
})

async function build(siteId: string): Promise<void> {
  for (;;) {
    const context = contexts.of({ siteId, certificates: [fingerprint] })
    if (context === null) throw new Error('the certificate cannot be used')
    if (context !== 'later') return
    await new Promise<void>((resolve) => contexts.wait(resolve))
  }
}

const total = Number(builds)
let early = 0
for (let i = 0; i < total; i += 1) {
  await build(`site-${i}`)
  if (i === Math.floor(total / 5)) early = process.memoryUsage.rss()
}
console.log(Math.round((process.memoryUsage.rss() - early) / 1_048_576))
