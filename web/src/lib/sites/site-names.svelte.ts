import { SvelteMap } from 'svelte/reactivity'
import { getSite } from './api.ts'

/** Names of sites that lists mention, read once each. */
export class SiteNames {
  #names = new SvelteMap<string, string>()
  #asked = new Set<string>()

  /** The name, or an empty text while it is not known. */
  nameOf(id: string | null): string {
    return (id !== null && this.#names.get(id)) || ''
  }

  /** Reads the names that are not known yet. A site that cannot be read stays without one. */
  want(ids: readonly (string | null)[]): void {
    for (const id of ids) {
      if (id === null || this.#asked.has(id)) continue
      this.#asked.add(id)
      getSite(id).then(
        (site) => this.#names.set(id, site.name),
        () => this.#asked.delete(id),
      )
    }
  }
}
