/** A trouble of the platform that is there now. */
export type PlatformTrouble = {
  /** `issuer:<id>` or `clock`. */
  readonly key: string
  readonly subject: string
  readonly reason: string
  /** How long it must last before admins hear of it. */
  readonly patienceMs: number
}

/** What is kept of a trouble. */
export type PlatformWatchRow = { readonly key: string; readonly since: Date; readonly noticedAt: Date | null }

/** What is to be noted of the platform, and what is kept afterwards. */
export type PlatformPlan = {
  readonly add: readonly { readonly kind: 'platform-failing' | 'platform-recovered'; readonly key: string }[]
  readonly keep: readonly PlatformWatchRow[]
  readonly drop: readonly string[]
}

/** Decides what admins are told: a trouble once, when it has lasted, and its end, if they were told of it. Pure. */
export function planPlatform(
  troubles: readonly PlatformTrouble[],
  rows: readonly PlatformWatchRow[],
  now: Date,
): PlatformPlan {
  const kept = new Map(rows.map((row) => [row.key, row]))
  const present = new Set(troubles.map(({ key }) => key))
  const keep = troubles.map(({ key, patienceMs }) => {
    const { since, noticedAt } = kept.get(key) ?? { since: now, noticedAt: null }
    const isRipe = now.getTime() - since.getTime() >= patienceMs
    return { key, since, noticedAt: noticedAt ?? (isRipe ? now : null) }
  })
  const ended = rows.filter(({ key }) => !present.has(key))
  return {
    keep,
    drop: ended.map(({ key }) => key),
    add: [
      ...keep
        .filter(({ key, noticedAt }) => noticedAt !== null && (kept.get(key)?.noticedAt ?? null) === null)
        .map(({ key }) => ({ kind: 'platform-failing' as const, key })),
      ...ended
        .filter(({ noticedAt }) => noticedAt !== null)
        .map(({ key }) => ({ kind: 'platform-recovered' as const, key })),
    ],
  }
}
