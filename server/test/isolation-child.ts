import { createSecureContext } from 'node:tls'
import { proveIsolation } from '../listener/isolation-proof.ts'

/**
 * `isolation-child.ts [shared <key PEM> <chain PEM>]`: runs a worker's proof on whatever runtime runs it and
 * prints the outcome. `shared` gives both sites one context, as a broken cache would.
 */
const [, , mode, keyPem, chainPem] = process.argv
const shared = mode === 'shared' ? createSecureContext({ key: String(keyPem), cert: String(chainPem) }) : null
proveIsolation(shared === null ? undefined : () => shared).then(
  () => console.log('proven'),
  (error: Error) => console.log(error.message),
)
