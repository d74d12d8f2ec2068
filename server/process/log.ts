import { type Logger, pino } from 'pino'

export type { Logger }

/**
 * The log of one process: JSON lines on standard error, `part` says who speaks. Keys, tokens,
 * passwords and cookies are cut out wherever they might be handed in.
 */
export function createLog(part: string, level: string): Logger {
  return pino(
    {
      level,
      base: { part },
      redact: {
        paths: [
          'password',
          'token',
          'privateKey',
          'keyAuthorization',
          '*.password',
          '*.token',
          '*.privateKey',
          'req.headers.authorization',
          'req.headers.cookie',
        ],
        censor: '[cut]',
      },
    },
    pino.destination({ fd: 2, sync: true }),
  )
}
