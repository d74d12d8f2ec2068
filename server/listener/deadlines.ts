/** Width of one tick. A deadline fires up to two ticks late, never early. */
const TICK_MS = 100
/** Slots of the wheel: one turn is 51.2 s, longer deadlines stay for several turns. */
const SLOTS = 512

/** One armed deadline. Both calls are allowed at any time, also after it expired, and never throw. */
export type Deadline = {
  /** Counts anew from now, for a deadline that was cleared or has expired as well. */
  rearm(ms: number): void
  clear(): void
}

/** One shared timer wheel per worker: a deadline costs one small object and no timer of its own. */
export type Deadlines = {
  /** Calls `expire` once, `ms` from now, unless cleared or armed anew before. */
  arm(ms: number, expire: () => void): Deadline
  /** Forgets all deadlines; none fires afterwards. */
  close(): void
}

type Schedule = { readonly put: (entry: Entry, ms: number) => void; readonly remove: (entry: Entry) => void }

/** `dueTick` is when it expires, `slotTick` the tick whose slot holds it (never later than `dueTick`). */
class Entry implements Deadline {
  dueTick = 0
  slotTick = 0
  readonly #schedule: Schedule
  readonly expire: () => void

  constructor(schedule: Schedule, expire: () => void) {
    this.#schedule = schedule
    this.expire = expire
  }

  rearm(ms: number): void {
    this.#schedule.put(this, ms)
  }

  clear(): void {
    this.#schedule.remove(this)
  }
}

/**
 * Makes a wheel. It ticks only while something is armed and never keeps the process alive. An
 * `expire` that throws reaches `uncaughtException`, and the others still fire.
 */
export function createDeadlines(): Deadlines {
  const slots = Array.from({ length: SLOTS }, () => new Set<Entry>())
  let armed = 0
  let lastTick = 0
  let timer: NodeJS.Timeout | null = null

  const slotOf = (tick: number): Set<Entry> => slots[tick % SLOTS] as Set<Entry>
  const put = (entry: Entry): void => {
    entry.slotTick = entry.dueTick
    slotOf(entry.slotTick).add(entry)
  }
  const remove = (entry: Entry): void => {
    if (slotOf(entry.slotTick).delete(entry)) armed -= 1
  }
  const visit = (tick: number): void => {
    const slot = slotOf(tick)
    for (const entry of [...slot]) {
      if (!slot.has(entry)) continue
      if (entry.dueTick <= tick) {
        remove(entry)
        fire(entry)
      } else if (entry.slotTick <= tick) {
        slot.delete(entry)
        put(entry)
      }
    }
  }
  const turn = (): void => {
    const now = currentTick()
    // After a stall of more than one turn every slot is visited once, with the present tick.
    const from = Math.max(lastTick + 1, now - SLOTS + 1)
    lastTick = now
    for (let tick = from; tick <= now; tick += 1) visit(tick)
    if (armed === 0) stop()
  }
  const stop = (): void => {
    if (timer !== null) clearInterval(timer)
    timer = null
  }
  const start = (): void => {
    if (timer !== null) return
    lastTick = currentTick()
    timer = setInterval(turn, TICK_MS)
    timer.unref()
  }
  const schedule = (entry: Entry, ms: number): void => {
    start()
    const due = currentTick() + Math.max(1, Math.ceil(ms / TICK_MS)) + 1
    const isWaiting = slotOf(entry.slotTick).has(entry)
    // Later than before: it stays where it is and moves when its slot is visited.
    if (isWaiting && due >= entry.slotTick) {
      entry.dueTick = due
      return
    }
    if (isWaiting) slotOf(entry.slotTick).delete(entry)
    else armed += 1
    entry.dueTick = due
    put(entry)
  }
  const wheel: Schedule = { put: schedule, remove }
  return {
    arm(ms, expire) {
      const entry = new Entry(wheel, expire)
      schedule(entry, ms)
      return entry
    },
    close() {
      stop()
      for (const slot of slots) slot.clear()
      armed = 0
    },
  }
}

function currentTick(): number {
  return Math.floor(performance.now() / TICK_MS)
}

function fire(entry: Entry): void {
  try {
    entry.expire()
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}
