/** How good a new password is, in words; a hint, the server decides. */
export type PasswordHint = { score: 0 | 1 | 2 | 3; text: string }

const MIN_LENGTH = 10

/** Judges by length and variety alone: long beats strange (NIST SP 800-63B, section 5.1.1). */
export function passwordHint(password: string): PasswordHint {
  if (password.length === 0)
    return { score: 0, text: `At least ${MIN_LENGTH} characters. A few random words are good.` }
  if (password.length < MIN_LENGTH) {
    const missing = MIN_LENGTH - password.length
    return { score: 0, text: `${missing} more ${missing === 1 ? 'character' : 'characters'} needed.` }
  }
  const different = new Set(password).size
  if (different < 5) return { score: 1, text: 'Weak: it repeats itself.' }
  if (password.length < 14) return { score: 2, text: 'Fair. Longer is better: add a word.' }
  return { score: 3, text: 'Good.' }
}
