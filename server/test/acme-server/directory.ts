import type { Answer, Context } from './context.ts'

/** The directory (RFC 8555 section 7.1.1, RFC 9773 section 4, draft-ietf-acme-profiles section 3). */
export function answerDirectory({ urls, settings, profiles }: Context): Answer {
  return {
    status: 200,
    body: {
      newNonce: urls.newNonce(),
      newAccount: urls.newAccount(),
      newOrder: urls.newOrder(),
      revokeCert: urls.revokeCert(),
      keyChange: urls.keyChange(),
      renewalInfo: urls.renewalInfo(),
      meta: {
        ...(settings.termsOfService === null ? {} : { termsOfService: settings.termsOfService }),
        website: 'https://ca.test/',
        caaIdentities: settings.caaIdentities,
        externalAccountRequired: settings.externalAccounts !== null,
        ...(profiles.size === 0
          ? {}
          : { profiles: Object.fromEntries([...profiles].map(([name, { description }]) => [name, description])) }),
      },
      // RFC 8555 section 7.1.1: clients ignore what they do not know.
      'a-key-that-no-client-knows': 'https://ca.test/unknown',
    },
  }
}
