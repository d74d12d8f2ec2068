import type { Context } from './context.ts'
import { AcmeProblem } from './problem.ts'
import { createResolver } from './resolve.ts'
import type { Account, Authorization, Challenge } from './state.ts'
import { validateDns } from './validate-dns.ts'
import { validateHttp } from './validate-http.ts'
import { validatePersist } from './validate-persist.ts'
import { validateTlsAlpn } from './validate-tls-alpn.ts'

/** What a validation ended with; `target` is where it went. */
export type Verdict = { readonly target: string; readonly problem: AcmeProblem | null }

/** Checks a challenge for real, by the way that its type says. Never rejects. */
export async function validate(
  { settings, urls }: Context,
  account: Account,
  { identifier, isWildcard }: Authorization,
  { type, token }: Challenge,
): Promise<Verdict> {
  const keyAuthorization = `${token}.${account.key.thumbprint}`
  const name = identifier.value
  const resolver = createResolver(settings)
  let target = name
  const visit = (place: string): void => {
    target = place
  }
  try {
    switch (type) {
      case 'http-01':
        await validateHttp({ name, token, keyAuthorization, visit }, resolver, settings)
        break
      case 'dns-01':
        await validateDns({ name, keyAuthorization, visit }, resolver)
        break
      case 'tls-alpn-01':
        await validateTlsAlpn({ identifier, keyAuthorization, visit }, resolver, settings)
        break
      case 'dns-persist-01':
        await validatePersist({ name, isWildcard, accountUrl: urls.account(account.id), visit }, resolver, settings)
    }
    return { target, problem: null }
  } catch (error) {
    const problem = error instanceof AcmeProblem ? error : new AcmeProblem('serverInternal', String(error))
    return { target, problem }
  } finally {
    resolver.close()
  }
}
