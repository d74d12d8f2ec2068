import { createSecureContext } from 'node:tls'
import { contextsOfTwoSites, proveIsolation } from '../listener/isolation-proof.ts'

/**
 * `isolation-child.ts own|shared <key PEM> <chain PEM>`: runs a worker's proof with this certificate on whatever
 * runtime runs it and prints the outcome. `shared` gives both sites one context, as a broken cache would.
 */
const [, , mode, keyPem = '', chainPem = ''] = process.argv
const shared = mode === 'shared' ? createSecureContext({ key: keyPem, cert: chainPem }) : null
proveIsolation(shared === null ? contextsOfTwoSites({ chainPem, keyPem }) : () => shared).then(
  () => console.log('proven'),
  (error: Error) => console.log(error.message),
)
