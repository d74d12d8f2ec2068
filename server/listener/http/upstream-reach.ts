import type { LookupAddress } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import { type Reach, unmapped } from '../../contract/reach.ts'
import type { UpstreamAddress } from './upstream-address.ts'
import type { UpstreamNames } from './upstream-names.ts'

/** This upstream must not be dialled, or its URL cannot be used. */
export class UpstreamForbiddenError extends Error {
  override name = 'UpstreamForbiddenError'
}

/** For whom we dial: names are asked for its tenant, and the panel's upstream is on this machine. */
export type UpstreamSite = { readonly id: string; readonly tenantId: string; readonly isPanel: boolean }

/** Finds the addresses that may be dialled. */
export type UpstreamReach = {
  /**
   * Those of an upstream's host, at least one, or the error that says why there is none. The returned function says
   * that nobody wants them any more: `done` is not called then.
   */
  find(
    site: UpstreamSite,
    upstream: UpstreamAddress,
    done: (error: Error | null, addresses: readonly LookupAddress[]) => void,
  ): () => void
  /**
   * The same for `http.request`, which asks only for names: literals are judged by `check`. `asked` is told how to
   * say that nobody wants them any more.
   */
  lookup(site: UpstreamSite, upstream: UpstreamAddress, asked: (leave: () => void) => void): LookupFunction
  /** Throws `UpstreamForbiddenError` for an address literal that may not be dialled. */
  check(site: UpstreamSite, upstream: UpstreamAddress): void
}

/** What is judged is the very address that is dialled afterwards: a name is never asked twice. */
export function createUpstreamReach(deps: {
  readonly reach: Reach
  readonly names: UpstreamNames
  /** Addresses of this listener: a site that had one of them as its upstream would ask itself for ever. */
  readonly isOwn: (address: string, port: number) => boolean
}): UpstreamReach {
  const { reach, names, isOwn } = deps
  const mayDial = (site: UpstreamSite, address: string, port: number): boolean =>
    (reach(address) || (site.isPanel && isLoopback(address))) && !isOwn(address, port)
  const forbidden = (host: string): Error => new UpstreamForbiddenError(`${host} may not be dialled`)
  const find: UpstreamReach['find'] = (site, { host, port }, done) => {
    const judge = (error: Error | null, addresses: readonly LookupAddress[]): void => {
      if (error !== null) return void done(error, [])
      const allowed = addresses.filter(({ address }) => mayDial(site, address, port))
      if (allowed.length === 0) done(forbidden(host), [])
      else done(null, allowed)
    }
    const family = isIP(host)
    if (family === 0) return names.resolve(host, site.tenantId, judge)
    judge(null, [{ address: host, family }])
    return () => undefined
  }
  return {
    find,
    lookup: (site, upstream, asked) => (_, options, callback) => {
      const leave = find(site, upstream, (error, addresses) => {
        const wanted = addresses.filter(({ family }) => !options.family || options.family === family)
        const first = wanted[0]
        if (error !== null || first === undefined) callback(error ?? forbidden(upstream.host), '', 0)
        else if (options.all === true) callback(null, [...wanted])
        else callback(null, first.address, first.family)
      })
      asked(leave)
    },
    check(site, { host, port }) {
      if (isIP(host) !== 0 && !mayDial(site, host, port)) throw forbidden(host)
    },
  }
}

function isLoopback(address: string): boolean {
  const plain = unmapped(address)
  return plain === '::1' || (isIP(plain) === 4 && plain.startsWith('127.'))
}
