import type { NewSiteInput, Site, SiteChangeInput } from './api.ts'

/** What kinds of sites there are, in words. */
export const siteKinds = {
  static: { label: 'Files', icon: 'files', text: 'Upload a folder of HTML, images and the like.' },
  proxy: { label: 'Web server', icon: 'proxy', text: 'Pass visitors on to a server of yours.' },
  redirect: { label: 'Redirect', icon: 'redirect', text: 'Send visitors to another address.' },
} as const

/** Redirect codes in words. */
export const redirectStatuses = [
  [301, '301: moved for good'],
  [302, '302: found elsewhere for now'],
  [307, '307: elsewhere for now, method kept'],
  [308, '308: moved for good, method kept'],
] as const

/** A site as a form holds it while a person writes. */
export class SiteDraft {
  name = $state('')
  kind = $state<Site['kind']>('static')
  /** One URL a line. */
  upstreams = $state('')
  redirectTo = $state('')
  redirectStatus = $state<NonNullable<NewSiteInput['redirectStatus']>>(301)
  #weights: ReadonlyMap<string, number>

  constructor(site?: Site) {
    this.#weights = new Map(site?.upstreams?.map(({ url, weight }) => [url, weight]))
    if (site === undefined) return
    this.name = site.name
    this.kind = site.kind
    this.upstreams = (site.upstreams ?? []).map(({ url }) => url).join('\n')
    this.redirectTo = site.redirectTo ?? ''
    this.redirectStatus = (site.redirectStatus ?? 301) as NonNullable<NewSiteInput['redirectStatus']>
  }

  /** The body of `POST /sites`. */
  creation(tenantId: string | undefined): NewSiteInput {
    const ofTenant = tenantId === undefined ? {} : { tenantId }
    return { name: this.name.trim(), kind: this.kind, ...ofTenant, ...this.#ofKind() }
  }

  /** The body of `PATCH /sites/{id}`: the kind never changes. */
  change(): SiteChangeInput {
    return { name: this.name.trim(), ...this.#ofKind() }
  }

  #ofKind(): Pick<NewSiteInput, 'upstreams' | 'redirectTo' | 'redirectStatus'> {
    if (this.kind === 'proxy') return { upstreams: this.#upstreamList() }
    if (this.kind === 'redirect') return { redirectTo: this.redirectTo.trim(), redirectStatus: this.redirectStatus }
    return {}
  }

  /** A weight that was set by API is kept as long as its URL is. */
  #upstreamList(): NonNullable<NewSiteInput['upstreams']> {
    const urls = this.upstreams.split(/\s+/).filter((url) => url !== '')
    return urls.map((url) => {
      const weight = this.#weights.get(url)
      return weight === undefined ? { url } : { url, weight }
    })
  }
}
