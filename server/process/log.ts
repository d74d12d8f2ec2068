import { writeSync } from 'node:fs'
import { isatty } from 'node:tty'
import { type DestinationStream, type Logger, pino } from 'pino'
import { readableLine } from './log-lines.ts'

export type { Logger }

const STANDARD_ERROR = 2

/**
 * The log of one process on standard error: JSON lines, or lines for people where that is a terminal.
 * `part` says who speaks. Keys, tokens, passwords and cookies are cut out wherever they might be
 * handed in.
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
    isatty(STANDARD_ERROR) ? terminal : pino.destination({ fd: STANDARD_ERROR, sync: true }),
  )
}

/** A terminal that was closed is no reason to stop. */
const terminal: DestinationStream = {
  write(line) {
    try {
      writeSync(STANDARD_ERROR, readableLine(line))
    } catch {
      // Nobody reads.
    }
  },
}
