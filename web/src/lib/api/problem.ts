/** What is wrong with one field of what was sent; `field` is a dotted path. */
export type FieldProblem = { field: string; detail: string }

/** An RFC 9457 problem of the API, or our own for a request that got no answer (code NETWORK, TIMEOUT). */
export class ApiProblem extends Error {
  override name = 'ApiProblem'
  readonly status: number
  readonly code: string
  readonly title: string
  readonly detail: string
  readonly errors: readonly FieldProblem[]

  constructor(
    problem: { status: number; code: string; title: string; detail: string; errors?: readonly FieldProblem[] },
    cause?: unknown,
  ) {
    super(`${problem.code}: ${problem.detail}`, { cause })
    this.status = problem.status
    this.code = problem.code
    this.title = problem.title
    this.detail = problem.detail
    this.errors = problem.errors ?? []
  }

  /** What is wrong with `field`, or undefined. */
  at(field: string): string | undefined {
    return this.errors.find((error) => error.field === field || error.field.startsWith(`${field}.`))?.detail
  }
}

const offline = {
  status: 0,
  code: 'NETWORK',
  title: 'The panel cannot be reached',
  detail: 'The request did not get through. Check your connection, then try again. Sites that are live stay live.',
}

/** Any thrown value as a problem that can be shown. */
export function toProblem(error: unknown): ApiProblem {
  if (error instanceof ApiProblem) return error
  if (error instanceof DOMException && error.name === 'TimeoutError') {
    const detail = 'There was no answer in time. It may still be working: reload before you try again.'
    return new ApiProblem({ status: 0, code: 'TIMEOUT', title: 'The panel is slow to answer', detail }, error)
  }
  if (error instanceof TypeError) return new ApiProblem(offline, error)
  const detail = 'Something unexpected happened in this page. Reload it and try again.'
  return new ApiProblem({ status: 0, code: 'UNEXPECTED', title: 'Something went wrong', detail }, error)
}

/** Whether an error is only an answer that nobody waits for any more. */
export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError'
}

/** The problem of an answer that is not a success; never throws. */
export function problemOf(status: number, body: unknown): ApiProblem {
  const known = typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {}
  const text = (key: string, otherwise: string) => (typeof known[key] === 'string' ? (known[key] as string) : otherwise)
  return new ApiProblem({
    status,
    code: text('code', 'UNKNOWN'),
    title: text('title', `The server answered ${status}`),
    detail: text('detail', 'Try again in a moment. If it stays so, tell whoever runs this installation.'),
    errors: Array.isArray(known['errors']) ? (known['errors'] as FieldProblem[]) : [],
  })
}
