import { type LookupAddress, lookup } from 'node:dns'

/** How long an answer is used without asking again, and how long a failure is. */
const FRESH_MS = 10_000
const FAILED_MS = 2_000
/** Until then an old answer is used when the resolver has none. */
const STALE_MS = 3_600_000
/** The system's resolver holds a thread of the pool that files are read with, so some are left. */
const MAX_AT_ONCE = 3
const MAX_WAITING = 1_000
const MAX_NAMES = 10_000

/** The addresses of upstreams' names, for one worker. */
export type UpstreamNames = {
  /** `owner` (a tenant) has one name in work at a time: a resolver of its own that hangs holds up nobody else's. */
  resolve(name: string, owner: string, done: (error: Error | null, addresses: readonly LookupAddress[]) => void): void
}

type Known = { addresses: readonly LookupAddress[]; error: Error | null; atMs: number; goodAtMs: number }
type Done = Parameters<UpstreamNames['resolve']>[2]
type Question = { readonly name: string; readonly owner: string; readonly asking: Done[] }

/** Makes it. Answers are remembered for seconds; the same question is asked once at a time. */
export function createUpstreamNames(ask: typeof lookup = lookup, now: () => number = Date.now): UpstreamNames {
  const known = new Map<string, Known>()
  const questions = new Map<string, Question>()
  const waiting: Question[] = []
  const owners = new Set<string>()

  const start = (question: Question): void => {
    owners.add(question.owner)
    ask(question.name, { all: true }, (error, addresses) => {
      owners.delete(question.owner)
      questions.delete(keyOf(question))
      const entry = remember(question.name, error, addresses)
      const next = waiting.findIndex(({ owner }) => !owners.has(owner))
      if (next >= 0) start(waiting.splice(next, 1)[0] as Question)
      for (const done of question.asking) done(entry.error, entry.addresses)
    })
  }
  const remember = (name: string, error: Error | null, addresses: readonly LookupAddress[] | undefined): Known => {
    const before = known.get(name)
    const at = now()
    known.delete(name)
    if (known.size >= MAX_NAMES) known.delete(known.keys().next().value as string)
    const isUsable = before !== undefined && before.addresses.length > 0 && at - before.goodAtMs < STALE_MS
    const entry: Known =
      error === null
        ? { addresses: addresses ?? [], error: null, atMs: at, goodAtMs: at }
        : isUsable
          ? { ...before, atMs: at - FRESH_MS + FAILED_MS }
          : { addresses: [], error, atMs: at - FRESH_MS + FAILED_MS, goodAtMs: 0 }
    known.set(name, entry)
    return entry
  }
  return {
    resolve(name, owner, done) {
      const entry = known.get(name)
      if (entry !== undefined && now() - entry.atMs < FRESH_MS) return done(entry.error, entry.addresses)
      // Not shared between owners: one that waits for its turn must not make others wait.
      const running = questions.get(keyOf({ name, owner }))
      if (running !== undefined) return void running.asking.push(done)
      if (waiting.length >= MAX_WAITING) return done(new Error('too many names are waiting for their addresses'), [])
      const question = { name, owner, asking: [done] }
      questions.set(keyOf(question), question)
      if (owners.size < MAX_AT_ONCE && !owners.has(owner)) start(question)
      else waiting.push(question)
    },
  }
}

function keyOf(question: Pick<Question, 'name' | 'owner'>): string {
  return `${question.owner} ${question.name}`
}
