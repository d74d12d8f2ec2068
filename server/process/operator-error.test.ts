import { mkdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import { complaintOf } from './operator-error.ts'
import { SettingsError } from './settings.ts'

test('what an operator can mend is one line, what is our fault comes with its stack', () => {
  expect(complaintOf(new SettingsError('NAMEPLATE_WORKERS: is no number'))).toBe('NAMEPLATE_WORKERS: is no number')
  let system: unknown
  try {
    mkdirSync('/proc/self/nothing')
  } catch (error) {
    system = error
  }
  expect(complaintOf(system)).toMatch(/^E[A-Z]+: [^\n]+$/)
  expect(complaintOf(new TypeError('x is not a function'))).toMatch(/^TypeError: x is not a function\n +at /)
  expect(complaintOf('text')).toBe('text')
})
