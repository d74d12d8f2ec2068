import { expect, test } from 'vitest'
import { problemOf } from './acme-problem.ts'
import { IssuerProblem, ownProblems } from './issuer.ts'
import { failureOf } from './problems.ts'

const acme = (type: string): string => `urn:ietf:params:acme:error:${type}`
const names = ['www.problem.test']

test.each([
  ['connection', 'CONNECTION', 'backoff', true],
  ['dns', 'DNS', 'backoff', true],
  ['unauthorized', 'UNAUTHORIZED', 'backoff', true],
  ['caa', 'CAA', 'backoff', true],
  ['rateLimited', 'RATE_LIMITED', 'backoff', true],
  ['rejectedIdentifier', 'REJECTED_IDENTIFIER', 'backoff', true],
  ['serverInternal', 'ISSUER_ERROR', 'soon', false],
  ['accountDoesNotExist', 'ACCOUNT_LOST', 'again', true],
  ['externalAccountRequired', 'EXTERNAL_ACCOUNT_REQUIRED', 'hourly', true],
  ['somethingNew', 'REFUSED', 'backoff', true],
])('%s becomes %s, tried again: %s', (type, code, retry, endsOrder) => {
  const failure = failureOf(new IssuerProblem({ type: acme(type), detail: 'as the CA says.', status: 403 }), names)
  expect(failure).toMatchObject({ code, retry, endsOrder, retryAfterMs: null })
  expect(failure.detail).toContain('www.problem.test')
})

test('what the CA says is shown with the name that it is about', () => {
  const body = {
    type: acme('compound'),
    detail: 'two problems',
    subproblems: [{ type: acme('caa'), detail: 'forbidden', identifier: { type: 'dns', value: 'bad.problem.test' } }],
  }
  const failure = failureOf(problemOf(403, body, 5_000), ['good.problem.test', 'bad.problem.test'])
  expect(failure).toMatchObject({ code: 'CAA', retryAfterMs: 5_000 })
  expect(failure.detail).toContain('bad.problem.test')
  expect(failure.detail).not.toContain('good.problem.test')
})

test.each([
  [503, '<html>', 'ISSUER_ERROR'],
  [429, '', 'RATE_LIMITED'],
  [404, null, 'ORDER_LOST'],
  [400, { type: 7 }, 'REFUSED'],
  [500, { type: acme('unheardOf'), detail: 'oops' }, 'ISSUER_ERROR'],
])('status %j with the body %j is %s', (status, body, code) => {
  expect(failureOf(problemOf(status, body, null), names).code).toBe(code)
})

test('a text of the CA is cut before it is kept', () => {
  const problem = problemOf(400, { type: acme('malformed'), detail: 'x'.repeat(100_000) }, null)
  expect(problem.detail.length).toBeLessThan(600)
  expect(failureOf(new IssuerProblem({ type: ownProblems.unreachable, detail: 'ECONNREFUSED' }), names).retry).toBe(
    'soon',
  )
})
