/**
 * What an operator can mend: a setting, a disk, another program in the way. `message` is one line that
 * says what is wrong, where, and what to do; a start that ends with one prints that line alone.
 */
export class OperatorError extends Error {
  override name = 'OperatorError'
}

/** What a process says when it cannot start: one line for what an operator can mend, the stack for what is our fault. */
export function complaintOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown)
  const { errno, code } = thrown as NodeJS.ErrnoException
  // The system and SQLite say themselves what is wrong and where: no room, no right, no such folder.
  const isMendable = thrown instanceof OperatorError || errno !== undefined || code === 'ERR_SQLITE_ERROR'
  return isMendable ? thrown.message : (thrown.stack ?? thrown.message)
}
