/** The kinds of request that the server answers. */
export const callKinds = [
  'directory',
  'newNonce',
  'newAccount',
  'account',
  'orders',
  'keyChange',
  'newOrder',
  'order',
  'finalize',
  'authorization',
  'challenge',
  'certificate',
  'revokeCert',
  'renewalInfo',
] as const

export type CallKind = (typeof callKinds)[number]

/** A request's path taken apart. */
export type Call = { readonly kind: CallKind; readonly id: string; readonly part: string | null }

const paths: Readonly<Record<string, CallKind>> = {
  'new-nonce': 'newNonce',
  'new-account': 'newAccount',
  account: 'account',
  orders: 'orders',
  'key-change': 'keyChange',
  'new-order': 'newOrder',
  order: 'order',
  finalize: 'finalize',
  authorization: 'authorization',
  challenge: 'challenge',
  certificate: 'certificate',
  'revoke-cert': 'revokeCert',
  'renewal-info': 'renewalInfo',
}
/** Without an id of a resource in their path. */
const plain: ReadonlySet<CallKind> = new Set(['newNonce', 'newAccount', 'keyChange', 'newOrder', 'revokeCert'])

/** Reads `/directory` and `/acme/<kind>[/<id>[/<part>]]`; null for any other path. */
export function readCall(path: string): Call | null {
  if (path === '/directory') return { kind: 'directory', id: '', part: null }
  const match = /^\/acme\/([a-z-]+)(?:\/([A-Za-z0-9_.-]+))?(?:\/([A-Za-z0-9_-]+))?$/.exec(path)
  const kind = match === null ? undefined : paths[match[1] ?? '']
  if (kind === undefined || plain.has(kind) === (match?.[2] !== undefined)) return null
  return { kind, id: match?.[2] ?? '', part: match?.[3] ?? null }
}

/** URLs below one base, the other way round. */
export function createUrls(base: () => string) {
  const url = (path: string) => `${base()}/acme/${path}`
  return {
    directory: () => `${base()}/directory`,
    newNonce: () => url('new-nonce'),
    newAccount: () => url('new-account'),
    newOrder: () => url('new-order'),
    revokeCert: () => url('revoke-cert'),
    keyChange: () => url('key-change'),
    renewalInfo: () => url('renewal-info'),
    account: (id: string) => url(`account/${id}`),
    orders: (id: string) => url(`orders/${id}`),
    order: (id: string) => url(`order/${id}`),
    finalize: (id: string) => url(`finalize/${id}`),
    authorization: (id: string) => url(`authorization/${id}`),
    challenge: (id: string, index: number) => url(`challenge/${id}/${index}`),
    certificate: (id: string, chain = 0) => url(chain === 0 ? `certificate/${id}` : `certificate/${id}/${chain}`),
  }
}

export type Urls = ReturnType<typeof createUrls>
