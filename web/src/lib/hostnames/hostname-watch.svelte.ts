import { Resource } from '#lib/api/resource.svelte.ts'
import { type CertificateDetailView, getCertificate } from '#lib/certificates/api.ts'
import { keepFresh } from '#lib/live/keep-fresh.ts'
import { getHostname, type HostnameView } from './api.ts'
import { phaseOf } from './phase.ts'

/** How often a hostname is read anew: while a person waits for it, while it is stuck, and when it is live. */
const EVERY_MS = { proof: 2_000, issuing: 1_000, publishing: 1_000, problem: 5_000, live: 30_000 } as const

/** One hostname with its certificate, kept fresh while its page is open. */
export class HostnameWatch {
  #hostname: Resource<HostnameView>
  #certificate: Resource<CertificateDetailView | null>

  constructor(id: string) {
    this.#hostname = new Resource((signal) => getHostname(id, signal))
    this.#certificate = new Resource(async (signal) => {
      const certificateId = this.#hostname.value?.certificate.id
      return certificateId === undefined ? null : getCertificate(certificateId, signal)
    })
  }

  get hostname(): HostnameView | null {
    return this.#hostname.value
  }

  get certificate(): CertificateDetailView | null {
    return this.#certificate.value
  }

  get problem() {
    return this.#hostname.problem
  }

  /** Reads both anew; a failure is in `problem`. */
  async load(): Promise<void> {
    await this.#hostname.load()
    if (this.#hostname.value?.certificate.id !== undefined) await this.#certificate.load()
  }

  /** Takes what a write has answered, and reads what hangs on it. */
  put(hostname: HostnameView): void {
    this.#hostname.put(hostname)
    void this.#certificate.load()
  }

  /** Keeps it fresh until the returned function is called. */
  start(): () => void {
    void this.load()
    const stop = keepFresh({
      refresh: () => void this.load(),
      concerns: (event) => this.#concerns(event.action, event.subjectId),
      everyMs: () => (this.hostname === null ? null : EVERY_MS[phaseOf(this.hostname).key]),
    })
    return () => {
      stop()
      this.#hostname.stop()
      this.#certificate.stop()
    }
  }

  #concerns(action: string, subjectId: string | null): boolean {
    const { hostname } = this
    if (hostname === null || subjectId === null) return false
    if ([hostname.id, hostname.domainId, hostname.certificate.id].includes(subjectId)) return true
    return /^certificate\./.test(action) && hostname.certificate.id === undefined
  }
}
