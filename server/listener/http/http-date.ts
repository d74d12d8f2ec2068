let knownSecond = 0
let knownDate = ''

/** A moment as a `Date` field says it (RFC 9110 section 5.6.7), always of 29 bytes; made once a second. */
export function httpDate(nowMs: number): string {
  const second = Math.floor(nowMs / 1_000)
  if (second !== knownSecond) {
    knownSecond = second
    knownDate = new Date(second * 1_000).toUTCString()
  }
  return knownDate
}
