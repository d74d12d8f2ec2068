import { type LookupAddress, lookup } from 'node:dns'

/** How long an answer is used without asking again, and how long a failure is. */
const FRESH_MS = 10_000
const FAILED_MS = 2_000
/** Until then an old answer is used when the resolver has none. */
const STALE_MS = 3_600_000
/** The system's resolver holds a thread of the pool that files are read with, so some are left. */
const MAX_AT_ONCE = 3
const MAX_WAITING = 1_000
const MAX_WAITING_OF_OWNER = 16
const MAX_NAMES = 10_000

/** The addresses of upstreams' names, for one worker. */
export type UpstreamNames = {
  /**
   * `owner` (a tenant) has one name in work at a time, and few that wait: a resolver of its own that hangs holds up
   * nobody else's. Where the question cannot begin at once, an old answer that may still be used is given instead.
   * The returned function says that nobody wants the answer any more: `done` is not called then.
   */
  resolve(
    name: string,
    owner: string,
    done: (error: Error | null, addresses: readonly LookupAddress[]) => void,
  ): () => void
}

type Known = { addresses: readonly LookupAddress[]; error: Error | null; atMs: number; goodAtMs: number }
type Done = Parameters<UpstreamNames['resolve']>[2]
/** `isKept`: it is asked though nobody waits for it. */
type Question = { readonly name: string; readonly owner: string; readonly asking: Set<{ done: Done }>; isKept: boolean }

/** Makes it. Answers are remembered for seconds; the same question is asked once at a time. */
export function createUpstreamNames(ask: typeof lookup = lookup, now: () => number = Date.now): UpstreamNames {
  const known = new Map<string, Known>()
  const questions = new Map<string, Question>()
  const waiting = new Set<Question>()
  const waitingOf = new Map<string, number>()
  const owners = new Set<string>()

  const start = (question: Question): void => {
    owners.add(question.owner)
    ask(question.name, { all: true }, (error, addresses) => {
      owners.delete(question.owner)
      questions.delete(keyOf(question))
      const entry = remember(question.name, error, addresses)
      for (const next of waiting) {
        if (owners.has(next.owner)) continue
        leave(next)
        start(next)
        break
      }
      for (const { done } of question.asking) done(entry.error, entry.addresses)
    })
  }
  const wait = (question: Question): void => {
    waiting.add(question)
    waitingOf.set(question.owner, (waitingOf.get(question.owner) ?? 0) + 1)
  }
  const leave = (question: Question): void => {
    if (!waiting.delete(question)) return
    const left = (waitingOf.get(question.owner) ?? 1) - 1
    if (left === 0) waitingOf.delete(question.owner)
    else waitingOf.set(question.owner, left)
  }
  const ownerHasRoom = (owner: string): boolean =>
    waiting.size < MAX_WAITING && (waitingOf.get(owner) ?? 0) < MAX_WAITING_OF_OWNER
  /** `done` joins a question; what is returned takes it away again, and the question with the last of them. */
  const join = (question: Question, done: Done): (() => void) => {
    const asker = { done }
    question.asking.add(asker)
    return () => {
      question.asking.delete(asker)
      if (question.asking.size > 0 || question.isKept || !waiting.has(question)) return
      leave(question)
      questions.delete(keyOf(question))
    }
  }
  const remember = (name: string, error: Error | null, addresses: readonly LookupAddress[] | undefined): Known => {
    const before = known.get(name)
    const at = now()
    known.delete(name)
    if (known.size >= MAX_NAMES) known.delete(known.keys().next().value as string)
    const entry: Known =
      error === null
        ? { addresses: addresses ?? [], error: null, atMs: at, goodAtMs: at }
        : isUsable(before, at)
          ? { ...before, atMs: at - FRESH_MS + FAILED_MS }
          : { addresses: [], error, atMs: at - FRESH_MS + FAILED_MS, goodAtMs: 0 }
    known.set(name, entry)
    return entry
  }
  return {
    resolve(name, owner, done) {
      const entry = known.get(name)
      const at = now()
      const answer = (error: Error | null, addresses: readonly LookupAddress[]): (() => void) => {
        done(error, addresses)
        return nothing
      }
      if (entry !== undefined && at - entry.atMs < FRESH_MS) return answer(entry.error, entry.addresses)
      // Not shared between owners: one that waits for its turn must not make others wait.
      const running = questions.get(keyOf({ name, owner }))
      const isNew = running === undefined
      const question = running ?? { name, owner, asking: new Set(), isKept: false }
      if (isNew && owners.size < MAX_AT_ONCE && !owners.has(owner)) {
        questions.set(keyOf(question), question)
        const leaves = join(question, done)
        start(question)
        return leaves
      }
      const mayWait = !isNew || ownerHasRoom(owner)
      if (isNew && mayWait) {
        questions.set(keyOf(question), question)
        wait(question)
      }
      if (isUsable(entry, at)) {
        question.isKept = true
        return answer(null, entry.addresses)
      }
      return mayWait ? join(question, done) : answer(new Error('too many names are waiting for their addresses'), [])
    },
  }
}

function nothing(): void {}

function isUsable(entry: Known | undefined, atMs: number): entry is Known {
  return entry !== undefined && entry.addresses.length > 0 && atMs - entry.goodAtMs < STALE_MS
}

function keyOf(question: Pick<Question, 'name' | 'owner'>): string {
  return `${question.owner} ${question.name}`
}
