/** What a certificate is for: RFC 8555 section 9.7.7 and RFC 8738. */
export type Identifier = { readonly type: 'dns' | 'ip'; readonly value: string }
