import {
  callAsGuest,
  dropToken,
  keepGrant,
  refreshSession,
  type SessionGrant,
  whenSessionEnds,
} from '#lib/api/client.ts'
import { type ApiProblem, toProblem } from '#lib/api/problem.ts'
import type { UserView } from '#server/control/auth/schema.ts'

/** `starting` until the refresh cookie was tried; `unreachable` when that got no answer. */
export type SessionState = 'starting' | 'guest' | 'signed-in' | 'unreachable'

const TENANT_KEY = 'nameplate.tenant'
/** Set while this browser may hold a refresh cookie, so that guests do not ask for a session in vain. */
const HINT_KEY = 'nameplate.session'

/** Who is signed in in this tab, and for which tenant the lists are shown. */
class Session {
  #state = $state<SessionState>('starting')
  #user = $state<UserView | null>(null)
  #problem = $state<ApiProblem | null>(null)
  #tenantId = $state<string | null>(null)

  get state(): SessionState {
    return this.#state
  }

  get user(): UserView | null {
    return this.#user
  }

  /** Why the panel could not be reached at the start. */
  get problem(): ApiProblem | null {
    return this.#problem
  }

  get isAdmin(): boolean {
    return this.#user?.platformRole === 'admin'
  }

  /** Admins and support see every tenant. */
  get isPlatform(): boolean {
    return this.#user?.platformRole != null
  }

  /** The tenant that lists are narrowed to; null shows all that may be seen. */
  get tenantId(): string | null {
    return this.#tenantId
  }

  /** Whether the person may change something of that tenant, or of any when null. */
  canWrite(tenantId: string | null = this.#tenantId): boolean {
    if (this.isAdmin) return true
    const memberships = this.#user?.memberships ?? []
    return memberships.some((one) => one.role !== 'viewer' && (tenantId === null || one.tenantId === tenantId))
  }

  /** Chooses the tenant that lists are narrowed to; kept for this browser. */
  chooseTenant(tenantId: string | null): void {
    this.#tenantId = tenantId
    remember(TENANT_KEY, tenantId)
  }

  /** Tries the refresh cookie; called once when the page loads, and again by "Try again". */
  async start(): Promise<void> {
    this.#state = 'starting'
    whenSessionEnds(() => this.#end())
    if (!mayHaveSession()) {
      this.#state = 'guest'
      return
    }
    try {
      this.#accept(await refreshSession())
    } catch (error) {
      const problem = toProblem(error)
      const isAnswer = problem.status >= 400 && problem.status < 500 && problem.status !== 429
      if (isAnswer) return this.#end()
      this.#problem = problem
      this.#state = 'unreachable'
    }
  }

  /** Throws ApiProblem when e-mail or password is wrong. */
  async logIn(email: string, password: string): Promise<void> {
    this.#accept(keepGrant(await callAsGuest<SessionGrant>('POST', '/auth/login', { email, password })))
  }

  /** Makes the first admin by the one-time link's token, and signs in. Throws ApiProblem. */
  async setUp(token: string, email: string, password: string): Promise<void> {
    this.#accept(keepGrant(await callAsGuest<SessionGrant>('POST', '/setup', { token, email, password })))
  }

  /** Ends the session on the server and here. Throws ApiProblem when the server was not told. */
  async logOut(): Promise<void> {
    await callAsGuest('POST', '/auth/logout', {})
    this.#end()
  }

  #accept(grant: SessionGrant): void {
    remember(HINT_KEY, 'yes')
    this.#user = grant.user
    this.#tenantId = storedTenant(grant.user)
    this.#problem = null
    this.#state = 'signed-in'
  }

  #end(): void {
    dropToken()
    remember(HINT_KEY, null)
    this.#user = null
    this.#state = 'guest'
  }
}

/** Keeps a value for this browser, or forgets it. Where storage is forbidden, it lasts as long as the tab. */
function remember(key: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(key)
    else localStorage.setItem(key, value)
  } catch {
    // Forbidden: nothing is lost but convenience.
  }
}

function mayHaveSession(): boolean {
  try {
    return localStorage.getItem(HINT_KEY) !== null
  } catch {
    return true
  }
}

function storedTenant(user: UserView): string | null {
  try {
    const stored = localStorage.getItem(TENANT_KEY)
    if (stored === null) return null
    const may = user.platformRole !== null || user.memberships.some((one) => one.tenantId === stored)
    return may ? stored : null
  } catch {
    return null
  }
}

/** The one session of this tab. */
export const session = new Session()
