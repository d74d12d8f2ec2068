import { expect, test } from 'vitest'
import { passwordHint } from './password-strength.ts'

test.each([
  ['', 0],
  ['short', 0],
  ['nine char', 0],
  ['aaaaaaaaaaaaaaaa', 1],
  ['ten chars!', 2],
  ['correct horse battery', 3],
])('%j has the score %i', (password, score) => {
  expect(passwordHint(password).score).toBe(score)
})

test('says how much is missing', () => {
  expect(passwordHint('nine char').text).toBe('1 more character needed.')
  expect(passwordHint('eight ch').text).toBe('2 more characters needed.')
})
