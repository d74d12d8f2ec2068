import { listTenants, type TenantView } from './api.ts'

/** Most tenants that choosers show; an installation with more is searched by name. */
const MOST = 200

/** The tenants that the person may see, for choosers and for names in lists. */
class TenantNames {
  #tenants = $state.raw<TenantView[]>([])
  #names = $derived(new Map(this.#tenants.map((tenant) => [tenant.id, tenant.name])))

  /** All but the platform's own. */
  get choices(): TenantView[] {
    return this.#tenants.filter((tenant) => !tenant.isSystem)
  }

  /** Whether there is anything to tell apart. */
  get isSeveral(): boolean {
    return this.choices.length > 1
  }

  /** The name of a tenant, or an empty text while it is not known. */
  nameOf(id: string | null): string {
    return (id !== null && this.#names.get(id)) || ''
  }

  /** Reads the list; called at sign-in and after a tenant was made or renamed. Throws ApiProblem. */
  async load(): Promise<void> {
    this.#tenants = (await listTenants({ limit: MOST })).items
  }
}

/** The one list of this tab. */
export const tenantNames = new TenantNames()
