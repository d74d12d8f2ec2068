/** What happens when: a binary heap of numbers (ms of virtual time) with a payload each. */
export class Agenda<T> {
  private readonly times: number[] = []
  private readonly items: T[] = []

  /** How many wait. */
  get size(): number {
    return this.items.length
  }

  /** The earliest time, or null. */
  get next(): number | null {
    return this.times[0] ?? null
  }

  /** Adds something for a time. */
  add(time: number, item: T): void {
    let index = this.times.length
    this.times.push(time)
    this.items.push(item)
    while (index > 0) {
      const parent = (index - 1) >> 1
      if ((this.times[parent] as number) <= time) break
      this.move(parent, index)
      index = parent
    }
    this.times[index] = time
    this.items[index] = item
  }

  /** Takes the earliest. Throws when there is none. */
  take(): { readonly time: number; readonly item: T } {
    const time = this.times[0]
    const item = this.items[0] as T
    if (time === undefined) throw new Error('the agenda is empty')
    const lastTime = this.times.pop() as number
    const last = this.items.pop() as T
    if (this.times.length > 0) this.sink(lastTime, last)
    return { time, item }
  }

  private sink(time: number, item: T): void {
    const { length } = this.times
    let index = 0
    for (let child = 1; child < length; child = 2 * index + 1) {
      const right = child + 1
      const least = right < length && (this.times[right] as number) < (this.times[child] as number) ? right : child
      if ((this.times[least] as number) >= time) break
      this.move(least, index)
      index = least
    }
    this.times[index] = time
    this.items[index] = item
  }

  private move(from: number, to: number): void {
    this.times[to] = this.times[from] as number
    this.items[to] = this.items[from] as T
  }
}
