/** How edges write access logs: the published setting `access-log`, a JSON text with what differs from the defaults. */
export type AccessLogSetting = {
  readonly format: 'json' | 'combined'
  /** Rotated files are deleted after this many days. */
  readonly retentionDays: number
  /** A file is rotated when it reaches this size, and every day. */
  readonly maxBytes: number
}

/** Key of the setting. */
export const ACCESS_LOG_SETTING = 'access-log'

/** What holds where nothing is set. */
export const defaultAccessLog: AccessLogSetting = { format: 'json', retentionDays: 30, maxBytes: 64 * 1024 * 1024 }

/** Reads the value of the setting's record; what does not fit has its default. */
export function accessLogSetting(value: unknown): AccessLogSetting {
  const given = parsed(value)
  const { format, retentionDays, maxBytes } = defaultAccessLog
  return {
    format: given.format === 'json' || given.format === 'combined' ? given.format : format,
    retentionDays: within(given.retentionDays, 1, 3_650) ?? retentionDays,
    maxBytes: within(given.maxBytes, 64 * 1024, 16 * 1024 ** 3) ?? maxBytes,
  }
}

function parsed(value: unknown): Record<string, unknown> {
  if (typeof value !== 'string') return {}
  try {
    const given: unknown = JSON.parse(value)
    return typeof given === 'object' && given !== null ? (given as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

function within(value: unknown, least: number, most: number): number | null {
  return Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most
    ? (value as number)
    : null
}
