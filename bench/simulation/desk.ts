import { availableAt, type Bucket, fullBucket, refilled, spent } from '../../server/control/certificates/ledger.ts'
import { type BucketKey, spentByOrder } from '../../server/control/certificates/ledger-store.ts'
import type { IssuerLimits } from '../../server/control/certificates/limits.ts'
import { queueClass } from '../../server/control/certificates/queue.ts'
import { Agenda } from './agenda.ts'
import type { Member } from './fleet.ts'

/** What becomes of an order that asks to be placed. */
export type DeskAnswer =
  | { readonly kind: 'granted' }
  | { readonly kind: 'queued' }
  | { readonly kind: 'blocked'; readonly until: number }

type Wish = {
  readonly member: Member
  readonly names: readonly string[]
  readonly isExempt: boolean
  readonly class: number
}

/** The admission of `admission.ts` and the queue of `queue.ts` with their rows in memory; ledger and turns are the same functions and rules. */
export class Desk {
  private readonly buckets = new Map<string, Bucket>()
  private readonly queue = new Agenda<{ member: Member; class: number }>()
  private readonly turns = new Map<number, number>()
  private clock = 0
  private letThrough = 0
  longestQueue = 0
  private readonly limits: IssuerLimits

  constructor(limits: IssuerLimits) {
    this.limits = limits
  }

  /** See `admit`. */
  admit(wish: Wish, now: Date): DeskAnswer {
    const failing = this.exhausted({ limit: 'failuresPerName', key: wish.member.name }, now)
    if (failing !== null) return { kind: 'blocked', until: failing }
    if (wish.isExempt) return { kind: 'granted' }
    const waited = wish.member.turn !== null
    if (!waited && this.queue.size > 0) return this.wait(wish)
    for (const key of spentByOrder(wish.names)) {
      const until = this.exhausted(key, now)
      if (until === null) continue
      if (key.limit === 'newOrders') return this.wait(wish)
      this.served(wish.member)
      return { kind: 'blocked', until }
    }
    for (const key of spentByOrder(wish.names)) this.spend(key, now)
    this.served(wish.member)
    return { kind: 'granted' }
  }

  /** See `letThrough`: those whose turn it is. */
  next(now: Date): Member[] {
    if (this.queue.size === 0) return []
    const limit = this.limits.newOrders
    if (limit === null) return []
    const room =
      Math.floor(refilled(this.bucket('newOrders ', limit.capacity, now), limit, now).tokens) - this.letThrough
    const members: Member[] = []
    while (members.length < room && this.queue.size > 0) {
      const { item } = this.queue.take()
      if (item.class === queueClass.first) this.clock = Math.max(this.clock, Number(item.member.turn))
      members.push(item.member)
    }
    this.letThrough += members.length
    return members
  }

  /** Counts a failed validation. */
  fail(name: string, now: Date): void {
    this.spend({ limit: 'failuresPerName', key: name }, now)
  }

  private wait({ member, class: rank }: Wish): DeskAnswer {
    if (member.turn === null) {
      const turn = Math.max(this.clock, this.turns.get(member.tenant) ?? 0) + 1
      this.turns.set(member.tenant, turn)
      member.turn = BigInt(rank === queueClass.first ? turn : (member.notAfter ?? 0))
    } else this.letThrough -= 1
    this.queue.add(rank * 1e15 + Number(member.turn), { member, class: rank })
    this.longestQueue = Math.max(this.longestQueue, this.queue.size)
    return { kind: 'queued' }
  }

  private served(member: Member): void {
    if (member.turn !== null) this.letThrough -= 1
    member.turn = null
  }

  private exhausted({ limit: name, key }: BucketKey, now: Date): number | null {
    const limit = this.limits[name]
    if (limit === null) return null
    const bucket = this.buckets.get(`${name} ${key}`)
    if (bucket === undefined || spent(bucket, limit, now) !== null) return null
    return availableAt(bucket, limit, now).getTime()
  }

  private spend({ limit: name, key }: BucketKey, now: Date): void {
    const limit = this.limits[name]
    if (limit === null) return
    const present = this.bucket(`${name} ${key}`, limit.capacity, now)
    const next = spent(present, limit, now) ?? { ...refilled(present, limit, now), tokens: 0 }
    this.buckets.set(`${name} ${key}`, next)
  }

  private bucket(key: string, capacity: number, now: Date): Bucket {
    return this.buckets.get(key) ?? fullBucket({ capacity, periodSeconds: 1 }, now)
  }
}
