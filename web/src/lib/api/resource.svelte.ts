import { type ApiProblem, isAbort, toProblem } from './problem.ts'

/** Something that is read from the API and may be read again; the last good value stays while it is. */
export class Resource<T> {
  #value = $state<T | null>(null)
  #problem = $state<ApiProblem | null>(null)
  #isLoading = $state(false)
  #read: (signal: AbortSignal) => Promise<T>
  #running: AbortController | null = null

  constructor(read: (signal: AbortSignal) => Promise<T>) {
    this.#read = read
  }

  get value(): T | null {
    return this.#value
  }

  /** Why the last reading failed; null after a success. */
  get problem(): ApiProblem | null {
    return this.#problem
  }

  get isLoading(): boolean {
    return this.#isLoading
  }

  /** Puts a value that a write has answered. */
  put(value: T): void {
    this.#value = value
    this.#problem = null
  }

  /** Reads anew; a reading under way is given up. Never throws: see `problem`. */
  async load(): Promise<void> {
    this.#running?.abort()
    const running = new AbortController()
    this.#running = running
    this.#isLoading = true
    try {
      const value = await this.#read(running.signal)
      if (running.signal.aborted) return
      this.#value = value
      this.#problem = null
    } catch (error) {
      if (!isAbort(error) && !running.signal.aborted) this.#problem = toProblem(error)
    } finally {
      if (this.#running === running) this.#isLoading = false
    }
  }

  /** Gives up a reading under way; call it when the page goes. */
  stop(): void {
    this.#running?.abort()
  }
}
