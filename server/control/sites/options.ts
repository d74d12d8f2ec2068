import { isDeepStrictEqual } from 'node:util'
import { hashBasicAuthPassword } from '../../contract/basic-auth-hash.ts'
import {
  type BasicAuth,
  defaultSiteOptions,
  type ProxyOptions,
  type SiteOptionsInput,
  siteOptions,
} from '../../contract/site-options.ts'
import { AppError, type FieldProblem } from '../errors.ts'
import { optionProblems } from './option-rules.ts'
import type { ShownSiteOptions, SiteOptionsChange } from './option-schema.ts'
import type { Site } from './schema.ts'

/** All of a site's options together, as they are stored: a record is read whole by each edge. */
const MAX_OPTIONS_BYTES = 256 * 1024
const DEFAULT_REDIRECT_STATUS = 301

/** Options that were checked, in the form that is stored; null resets. A user's null hash: the password stays. */
export type CheckedOptions = {
  readonly [K in keyof SiteOptionsInput]?: (K extends 'basicAuth' ? CheckedBasicAuth : SiteOptionsInput[K]) | null
}

type CheckedBasicAuth = Omit<BasicAuth, 'users'> & {
  readonly users: readonly { readonly name: string; readonly hash: string | null }[]
}

/**
 * Checks what a caller gives for a site of this kind and hashes its passwords: that takes CPU, so it is done before
 * the transaction. Throws INVALID_INPUT with every problem, by field.
 */
export async function checkOptions(kind: Site['kind'], input: SiteOptionsChange): Promise<CheckedOptions> {
  refuse(optionProblems(kind, input))
  const { hsts, headers, redirects, basicAuth, proxy, ...rest } = input
  return {
    ...rest,
    ...(hsts === undefined ? {} : { hsts: hsts && { includeSubDomains: false, preload: false, ...hsts } }),
    ...(headers === undefined ? {} : { headers: headers?.map(lowerCased) ?? null }),
    ...(redirects === undefined
      ? {}
      : { redirects: redirects?.map((rule) => ({ ...rule, status: rule.status ?? DEFAULT_REDIRECT_STATUS })) ?? null }),
    ...(basicAuth === undefined ? {} : { basicAuth: basicAuth && (await hashed(basicAuth)) }),
    ...(proxy === undefined ? {} : { proxy: proxy && ownProxyOptions(proxy) }),
  }
}

/**
 * What is stored after a change: each key that is given replaces the stored one; what equals the default is left
 * out. Throws INVALID_INPUT for a new user without a password, and when it is too much in all.
 */
export function changedOptions(stored: SiteOptionsInput, change: CheckedOptions): SiteOptionsInput {
  const merged: Record<string, unknown> = { ...stored }
  for (const key of Object.keys(change) as (keyof CheckedOptions)[]) {
    const value =
      key === 'basicAuth' ? withKnownHashes(change.basicAuth ?? null, stored.basicAuth ?? null) : change[key]
    const isDefault = value === null || isDeepStrictEqual(value, defaultSiteOptions[key]) || isEmpty(value)
    if (isDefault) delete merged[key]
    else merged[key] = value
  }
  const bytes = Buffer.byteLength(JSON.stringify(merged))
  if (bytes > MAX_OPTIONS_BYTES)
    refuse([{ field: 'options', detail: `are ${bytes} bytes together; ${MAX_OPTIONS_BYTES} are possible` }])
  return merged
}

/** The stored options as the API shows them: complete, and of users the names alone. */
export function shownOptions(stored: SiteOptionsInput): ShownSiteOptions {
  const { basicAuth, headers, redirects, cache, ...rest } = siteOptions(stored)
  return {
    ...rest,
    headers: [...headers],
    redirects: [...redirects],
    cache: [...cache],
    basicAuth: basicAuth && {
      realm: basicAuth.realm,
      paths: [...basicAuth.paths],
      users: basicAuth.users.map(({ name }) => ({ name })),
    },
  }
}

function refuse(problems: readonly FieldProblem[]): void {
  const [first] = problems
  if (first === undefined) return
  throw new AppError('INVALID_INPUT', `${first.field}: ${first.detail}`, { errors: problems })
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0
}

function lowerCased<T>(rule: { path: string; set: Record<string, T> }): { path: string; set: Record<string, T> } {
  const set = Object.fromEntries(Object.entries(rule.set).map(([name, value]) => [name.toLowerCase(), value]))
  return { path: rule.path, set }
}

function ownProxyOptions(proxy: Partial<ProxyOptions>): Partial<ProxyOptions> {
  const differs = ([key, value]: [string, unknown]): boolean =>
    value !== undefined && !isDeepStrictEqual(value, defaultSiteOptions.proxy[key as keyof ProxyOptions])
  return Object.fromEntries(Object.entries(proxy).filter(differs))
}

/** One after the other, so that a list of users does not take every thread of the process. */
async function hashed(basicAuth: NonNullable<SiteOptionsChange['basicAuth']>): Promise<CheckedBasicAuth> {
  const users: { name: string; hash: string | null }[] = []
  for (const { name, password } of basicAuth.users)
    users.push({ name, hash: password === undefined ? null : await hashBasicAuthPassword(password) })
  return { ...basicAuth, users }
}

function withKnownHashes(given: CheckedBasicAuth | null, stored: BasicAuth | null): BasicAuth | null {
  if (given === null) return null
  const known = new Map(stored?.users.map(({ name, hash }) => [name, hash]))
  const problems: FieldProblem[] = []
  const users = given.users.map(({ name, hash }, index) => {
    const one = hash ?? known.get(name)
    if (one === undefined)
      problems.push({ field: `options.basicAuth.users.${index}.password`, detail: 'is required for a new user' })
    return { name, hash: one ?? '' }
  })
  refuse(problems)
  return { ...given, users }
}
