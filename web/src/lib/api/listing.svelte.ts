import { type ApiProblem, isAbort, toProblem } from './problem.ts'

/** A page of a list of the API. */
export type ListPage<T> = { items: T[]; nextCursor: string | null }

/** A list of the API, read page by page. */
export class Listing<T> {
  #items = $state.raw<T[] | null>(null)
  #nextCursor = $state<string | null>(null)
  #problem = $state<ApiProblem | null>(null)
  #isLoading = $state(false)
  #read: (cursor: string | undefined, signal: AbortSignal) => Promise<ListPage<T>>
  #running: AbortController | null = null

  constructor(read: (cursor: string | undefined, signal: AbortSignal) => Promise<ListPage<T>>) {
    this.#read = read
  }

  /** Null until the first page is there. */
  get items(): T[] | null {
    return this.#items
  }

  get hasMore(): boolean {
    return this.#nextCursor !== null
  }

  get problem(): ApiProblem | null {
    return this.#problem
  }

  get isLoading(): boolean {
    return this.#isLoading
  }

  /** Reads the first page anew, and as many more as were shown. Never throws: see `problem`. */
  async load(): Promise<void> {
    const shown = this.#items?.length ?? 0
    await this.#run(async (signal) => {
      let page = await this.#read(undefined, signal)
      const items = [...page.items]
      while (page.nextCursor !== null && items.length < shown) {
        page = await this.#read(page.nextCursor, signal)
        items.push(...page.items)
      }
      return { items, nextCursor: page.nextCursor }
    })
  }

  /** Forgets what is shown and reads anew: the filter has changed. */
  async restart(): Promise<void> {
    this.#items = null
    this.#nextCursor = null
    await this.load()
  }

  /** Adds the next page. */
  async more(): Promise<void> {
    const cursor = this.#nextCursor
    if (cursor === null) return
    await this.#run(async (signal) => {
      const page = await this.#read(cursor, signal)
      return { items: [...(this.#items ?? []), ...page.items], nextCursor: page.nextCursor }
    })
  }

  /** Gives up a reading under way; call it when the page goes. */
  stop(): void {
    this.#running?.abort()
  }

  async #run(read: (signal: AbortSignal) => Promise<ListPage<T>>): Promise<void> {
    this.#running?.abort()
    const running = new AbortController()
    this.#running = running
    this.#isLoading = true
    try {
      const page = await read(running.signal)
      if (running.signal.aborted) return
      this.#items = page.items
      this.#nextCursor = page.nextCursor
      this.#problem = null
    } catch (error) {
      if (!isAbort(error) && !running.signal.aborted) this.#problem = toProblem(error)
    } finally {
      if (this.#running === running) this.#isLoading = false
    }
  }
}
