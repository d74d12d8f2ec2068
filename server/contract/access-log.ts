/** How edges write access logs: the published setting `accessLog`. */
export type AccessLogSetting = {
  readonly format: 'json' | 'combined'
  /** Rotated files are deleted after this many days. */
  readonly retentionDays: number
  /** A file is rotated when it reaches this size, and every day. */
  readonly maxBytes: number
  /** Rotated files of one site have at most so many bytes together, as they are on disk; the oldest are deleted. */
  readonly maxSiteBytes: number
}

/** Key of the setting. */
export const ACCESS_LOG_SETTING = 'accessLog'

/** What holds where nothing is set. */
export const defaultAccessLog: AccessLogSetting = {
  format: 'json',
  retentionDays: 30,
  maxBytes: 64 * 1024 * 1024,
  maxSiteBytes: 1024 ** 3,
}

/** Least and most of each part that is a number. */
export const accessLogBounds = {
  retentionDays: [1, 3_650],
  maxBytes: [64 * 1024, 16 * 1024 ** 3],
  maxSiteBytes: [64 * 1024, 1024 ** 4],
} as const

/** Reads the value of the setting's record; what does not fit has its default. */
export function accessLogSetting(value: unknown): AccessLogSetting {
  const given = (typeof value === 'object' && value !== null ? value : {}) as Readonly<Record<string, unknown>>
  const { format } = given
  const count = (name: keyof typeof accessLogBounds): number => {
    const [least, most] = accessLogBounds[name]
    const own = given[name]
    return Number.isSafeInteger(own) && Number(own) >= least && Number(own) <= most
      ? Number(own)
      : defaultAccessLog[name]
  }
  return {
    format: format === 'json' || format === 'combined' ? format : defaultAccessLog.format,
    retentionDays: count('retentionDays'),
    maxBytes: count('maxBytes'),
    maxSiteBytes: count('maxSiteBytes'),
  }
}
