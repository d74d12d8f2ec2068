/** What a client did in one round. */
export type Load = {
  /** Answers, refusals or bytes: what the row counts. */
  readonly operations: number
  /** Requests or connections that went wrong. */
  readonly failed: number
  /** Something that a reader of the figure should know, such as how many sessions were resumed. */
  readonly note: string | null
}

/** A client that is ready to begin: what came before does not count. */
export type Client = {
  /** Runs to its end. Throws when it could not run. */
  run(): Promise<Load>
}
