import type { CallKind } from './calls.ts'
import type { WritableLog } from './log.ts'
import type { ProblemType, Subproblem } from './problem.ts'

/** What can happen to an answer. */
export type AnswerFault =
  /** Right, but late. */
  | { readonly kind: 'slow'; readonly delayMs: number }
  /** The connection stays open, nothing comes. */
  | { readonly kind: 'silence' }
  /** The connection is closed without an answer. */
  | { readonly kind: 'close' }
  | { readonly kind: 'status'; readonly status: number; readonly retryAfter?: string; readonly body?: string }
  | {
      readonly kind: 'problem'
      readonly type: ProblemType
      readonly detail: string
      readonly status?: number
      readonly retryAfter?: string
      readonly subproblems?: readonly Subproblem[]
    }
  /** A page of a proxy in front, by default with status 200. */
  | { readonly kind: 'html'; readonly status?: number }
  /** By default 10 MB. */
  | { readonly kind: 'huge'; readonly bytes?: number }
  | { readonly kind: 'redirect'; readonly location: string }
  /** By default JSON that is cut off. */
  | { readonly kind: 'wrong-json'; readonly body?: string }
  /** The order of the URL is gone from now on: 404. For calls `order` and `finalize`. */
  | { readonly kind: 'order-lost' }
  /** The account that signed is gone from now on. */
  | { readonly kind: 'account-lost' }
  /** The Date header is off. */
  | { readonly kind: 'clock-skew'; readonly byMs: number }

/** What can be wrong with a certificate. `shiftMs` for `future-not-before`, by default 48 hours. */
export type IssueFault = {
  readonly kind: 'other-key' | 'missing-name' | 'future-not-before' | 'expired-chain' | 'wrong-intermediate'
  readonly shiftMs?: number
}

/** What can be wrong with a validation: it fails although the challenge is met. Default `connection`. */
export type ValidationFault = { readonly kind: 'failed'; readonly type?: ProblemType; readonly detail?: string }

/** The order stays in processing until it expires; the challenge is never decided. */
export type StuckFault = { readonly kind: 'stuck' }

export type FaultOptions = {
  /** How often it happens; default always. */
  readonly times?: number
  /** Share of the requests that it happens to, from 0 to 1; default all. */
  readonly rate?: number
  /** The request takes effect and its answer is lost or replaced; default: it never reaches the CA. */
  readonly isAfterEffect?: boolean
}

/** A fault that was set; it ends by itself after its `times`. */
export type SetFault = { readonly hits: number; remove(): void }

type Target = CallKind | 'any' | 'issuance' | 'validation'
type AnyFault = AnswerFault | IssueFault | ValidationFault | StuckFault
type Entry = { target: Target; fault: AnyFault; options: FaultOptions; hits: number }

/** What a test sets. */
export type Faults = {
  /** Faults of one kind of call, or of every call. The earliest set one that fits happens. */
  set(call: CallKind | 'any', fault: AnswerFault, options?: FaultOptions): SetFault
  /** Faults of what is signed, or of signing. */
  set(call: 'issuance', fault: IssueFault | StuckFault, options?: Omit<FaultOptions, 'isAfterEffect'>): SetFault
  /** Faults of validations, by whatever type of challenge. */
  set(call: 'validation', fault: ValidationFault | StuckFault, options?: Omit<FaultOptions, 'isAfterEffect'>): SetFault
  clear(): void
}

/** What the server asks. */
export type FaultBoard = Faults & {
  takeAnswer(call: CallKind): { readonly fault: AnswerFault; readonly isAfterEffect: boolean } | null
  takeIssuance(): IssueFault | null
  takeStuck(): boolean
  takeValidation(): ValidationFault | StuckFault | null
}

export function createFaults(random: () => number, log: WritableLog): FaultBoard {
  const entries: Entry[] = []
  const remove = (entry: Entry): void => {
    const index = entries.indexOf(entry)
    if (index >= 0) entries.splice(index, 1)
  }
  const take = (call: CallKind | 'issuance' | 'validation', isWanted: (entry: Entry) => boolean): Entry | null => {
    const found = entries.find((entry) => isWanted(entry) && random() < (entry.options.rate ?? 1))
    if (found === undefined) return null
    found.hits++
    if (found.hits >= (found.options.times ?? Number.POSITIVE_INFINITY)) remove(found)
    log.add({ kind: 'fault', call, fault: found.fault.kind })
    return found
  }
  return {
    set(target: Target, fault: AnyFault, options: FaultOptions = {}) {
      const entry: Entry = { target, fault, options, hits: 0 }
      entries.push(entry)
      return {
        get hits() {
          return entry.hits
        },
        remove: () => remove(entry),
      }
    },
    clear: () => void entries.splice(0),
    takeAnswer(call) {
      const entry = take(call, ({ target }) => target === call || target === 'any')
      if (entry === null) return null
      return { fault: entry.fault as AnswerFault, isAfterEffect: entry.options.isAfterEffect ?? false }
    },
    takeIssuance() {
      const entry = take('issuance', ({ target, fault }) => target === 'issuance' && fault.kind !== 'stuck')
      return entry === null ? null : (entry.fault as IssueFault)
    },
    takeStuck: () => take('issuance', ({ target, fault }) => target === 'issuance' && fault.kind === 'stuck') !== null,
    takeValidation() {
      const entry = take('validation', ({ target }) => target === 'validation')
      return entry === null ? null : (entry.fault as ValidationFault | StuckFault)
    },
  }
}
