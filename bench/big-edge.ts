import { prepareEdgeFolder } from '../server/listener/edge-folder.ts'
import { openEdgeStore } from '../server/listener/edge-store.ts'
import { storeRelease } from '../server/test/listener-rig.ts'
import { benchFolder, removeFolder } from './cleanup.ts'
import { fillEdge } from './edge.ts'
import { createForge, type Forged } from './forge.ts'
import { PAGE, siteName } from './scene.ts'

/** Names beyond this share certificates: a million own ones would be most of an hour of making keys, for the same look-ups. */
const OWN_CERTIFICATES = 100_000

/** A data directory whose edge store holds many sites, as an edge has it after its feed. */
export type BigEdge = { readonly dataDir: string; readonly sites: number; remove(): void }

const forge = createForge()
const certificates: Forged[] = []

/** A new certificate for the site with a number, of the same CA as those in the store. */
export function newCertificate(number: number): Forged {
  return forge.issue(siteName(number))
}

/** The certificate of the site with a number, as a big edge's store or database has it at first. */
export function firstCertificate(number: number): Forged {
  for (let next = certificates.length; next <= number; next += 1) certificates.push(newCertificate(next))
  return certificates[number] as Forged
}

/** Makes a data directory with sites that serve one page; its certificates are made once for all of them. */
export async function makeBigEdge(sites: number): Promise<BigEdge> {
  const dataDir = benchFolder(`edge-${sites}`)
  const edge = prepareEdgeFolder(dataDir, null)
  const store = openEdgeStore(edge.path)
  const manifest = storeRelease(edge.blobs, { 'index.html': PAGE })
  await fillEdge(store, edge.identity.keyPair, {
    sites,
    nameOf: siteName,
    certificates: Math.min(sites, OWN_CERTIFICATES),
    certificateOf: firstCertificate,
    site: { manifest, options: { accessLog: false } },
  })
  store.close()
  return { dataDir, sites, remove: () => removeFolder(dataDir) }
}
