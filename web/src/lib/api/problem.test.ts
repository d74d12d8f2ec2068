import { describe, expect, test } from 'vitest'
import { ApiProblem, problemOf, toProblem } from './problem.ts'

describe('a problem', () => {
  test('keeps the words of the server and its fields', () => {
    const problem = problemOf(400, {
      code: 'NAME_INVALID',
      title: 'This is not a name that can be served',
      detail: 'Write the name.',
      errors: [{ field: 'name', detail: 'Write the name.' }],
    })
    expect(problem).toMatchObject({ status: 400, code: 'NAME_INVALID', detail: 'Write the name.' })
    expect(problem.at('name')).toBe('Write the name.')
    expect(problem.at('siteId')).toBeUndefined()
  })

  test('finds what is wrong inside a field', () => {
    const problem = problemOf(400, { errors: [{ field: 'upstreams.0.url', detail: 'has a path' }] })
    expect(problem.at('upstreams')).toBe('has a path')
    expect(problem.at('upstream')).toBeUndefined()
  })

  test.each([[undefined], ['<html>'], [{ title: 7 }], [null]])('has words even for the answer %j', (body) => {
    const problem = problemOf(502, body)
    expect(problem.title).toBe('The server answered 502')
    expect(problem.detail).not.toBe('')
  })

  test('tells a lost connection from a slow answer and from a fault of the page', () => {
    expect(toProblem(new TypeError('Failed to fetch')).code).toBe('NETWORK')
    expect(toProblem(new DOMException('', 'TimeoutError')).code).toBe('TIMEOUT')
    expect(toProblem(new Error('x')).code).toBe('UNEXPECTED')
    const problem = problemOf(404, {})
    expect(toProblem(problem)).toBeInstanceOf(ApiProblem)
    expect(toProblem(problem)).toBe(problem)
  })
})
