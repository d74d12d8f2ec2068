/** Work that is done a few pieces a turn of the event loop, so that a burst of it delays nothing else for long. */
export type Turns = {
  /** Whether a piece may be done now; then it counts. False: call `wait`, and ask again from there. */
  take(): boolean
  /** Calls `again` in a later turn, in the order of the calls. */
  wait(again: () => void): void
}

/** Makes them. Who waits goes before who comes later. */
export function createTurns(piecesPerTurn: number): Turns {
  let waiting: (() => void)[] = []
  let left = piecesPerTurn
  let isScheduled = false
  let isServing = false

  const schedule = (): void => {
    if (isScheduled) return
    isScheduled = true
    setImmediate(turn)
  }
  const turn = (): void => {
    isScheduled = false
    left = piecesPerTurn
    isServing = true
    let served = 0
    try {
      while (left > 0 && served < waiting.length) {
        served += 1
        waiting[served - 1]?.()
      }
    } finally {
      isServing = false
      waiting = waiting.slice(served)
      if (waiting.length > 0) schedule()
    }
  }
  return {
    take() {
      if (left === 0 || (waiting.length > 0 && !isServing)) return false
      left -= 1
      schedule()
      return true
    },
    wait(again) {
      waiting.push(again)
      schedule()
    },
  }
}
