import type { FastifySchemaCompiler, RouteOptions } from 'fastify'
import { type TSchema, Type } from 'typebox'
import { Compile } from 'typebox/compile'
import { Value } from 'typebox/value'
import { AppError, type FieldProblem } from '../errors.ts'

type Violation = {
  readonly keyword: string
  readonly instancePath: string
  readonly params: object
  readonly message: string
}

const MAX_PROBLEMS = 20

/**
 * Checks requests against their TypeBox schemas. A body is taken as it is, without coercion; queries
 * and path parameters are texts, so numbers and booleans in them are converted.
 */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const check = Compile(schema)
  return (input: unknown) => {
    const value = httpPart === 'body' ? input : Value.Convert(schema, { ...(input as object) })
    if (check.Check(value)) return { value }
    const errors = fieldProblems(check.Errors(value) as readonly Violation[])
    return { error: new AppError('INVALID_INPUT', summary(errors, httpPart), { errors }) }
  }
}

/**
 * Closes the schemas of a route, so that an unknown property of body or query is refused: a misspelt
 * `?dryRun` must not become a real change. A route without a query schema takes no query. The UI's pages
 * and files take any: what stands there is for the page.
 */
export function closeSchemas(route: RouteOptions): void {
  const schema = route.schema
  if (schema === undefined || !route.url.startsWith('/api/')) return
  if (schema.body !== undefined) schema.body = closed(schema.body)
  schema.querystring = closed(schema.querystring ?? Type.Object({}))
}

function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed)
  if (typeof schema !== 'object' || schema === null) return schema
  // TypeBox keeps what it converts by in properties that are not enumerable: those are copied too.
  const copy: Record<string, unknown> = Object.defineProperties({}, Object.getOwnPropertyDescriptors(schema))
  for (const [key, value] of Object.entries(schema)) copy[key] = nested.has(key) ? closedParts(key, value) : value
  const isOpen = copy['additionalProperties'] === undefined && copy['patternProperties'] === undefined
  if (copy['properties'] !== undefined && isOpen) copy['additionalProperties'] = false
  return copy
}

/** Keywords that hold schemas. `allOf` is not among them: closing its parts would refuse each other's properties. */
const nested = new Set(['properties', 'items', 'anyOf', 'oneOf'])

function closedParts(key: string, value: unknown): unknown {
  if (key !== 'properties') return closed(value)
  return Object.fromEntries(Object.entries(value as object).map(([name, part]) => [name, closed(part)]))
}

function summary(errors: readonly FieldProblem[], httpPart: string | undefined): string {
  const [first] = errors
  const place = httpPart === 'querystring' ? 'query' : httpPart === 'params' ? 'path' : 'body'
  if (first === undefined) return `The ${place} is not valid.`
  return first.field === '' ? `The ${place} ${first.detail}.` : `${first.field} ${first.detail}.`
}

/** One problem per field, in plain words, in the order found. */
function fieldProblems(violations: readonly Violation[]): FieldProblem[] {
  const problems = new Map<string, string>()
  const note = (field: string, detail: string): void => {
    if (!problems.has(field) && problems.size < MAX_PROBLEMS) problems.set(field, detail)
  }
  for (const violation of violations.filter((one) => !isMisleading(one, violations))) {
    const field = violation.instancePath.slice(1).replaceAll('/', '.')
    const params = violation.params as Record<string, unknown>
    const inner = (name: string): string => (field === '' ? name : `${field}.${name}`)
    if (violation.keyword === 'required')
      for (const name of strings(params['requiredProperties'])) note(inner(name), 'is required')
    else if (violation.keyword === 'additionalProperties')
      for (const name of strings(params['additionalProperties'])) note(inner(name), 'is not known here')
    else if (violation.keyword === 'const') note(field, `must be ${allowedValues(violations, violation.instancePath)}`)
    else if (violation.keyword !== 'boolean') note(field, plainWords(violation.keyword, params, violation.message))
  }
  return [...problems].map(([field, detail]) => ({ field, detail }))
}

/** Of a value that may be null and is wrong somewhere inside, "must be null" and "must match one of" tell nothing. */
function isMisleading({ keyword, instancePath, params }: Violation, all: readonly Violation[]): boolean {
  if (keyword === 'anyOf')
    return all.some((other) => other.instancePath.startsWith(instancePath) && other.keyword !== 'anyOf')
  if (keyword !== 'type' || (params as { type?: unknown }).type !== 'null') return false
  return all.some((other) => other.instancePath.startsWith(`${instancePath}/`) || isAbout(instancePath, other))
}

function isAbout(path: string, { keyword, instancePath }: Violation): boolean {
  return instancePath === path && keyword !== 'type' && keyword !== 'anyOf'
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : []
}

function allowedValues(violations: readonly Violation[], path: string): string {
  const values = violations
    .filter((violation) => violation.keyword === 'const' && violation.instancePath === path)
    .map((violation) => JSON.stringify((violation.params as { allowedValue?: unknown }).allowedValue))
  return [...new Set(values)].join(' or ')
}

const formats: Readonly<Record<string, string>> = {
  email: 'must be an e-mail address',
  uuid: 'must be an id (UUID)',
  'date-time': 'must be a time such as 2026-01-31T12:00:00Z',
  uri: 'must be a complete URL',
  ipv4: 'must be an IPv4 address',
  ipv6: 'must be an IPv6 address',
  hostname: 'must be a host name',
}

function plainWords(keyword: string, params: Record<string, unknown>, message: string): string {
  const limit = String(params['limit'])
  if (keyword === 'format') return formats[String(params['format'])] ?? message
  if (keyword === 'minLength') return `must have at least ${limit} characters`
  if (keyword === 'maxLength') return `must have at most ${limit} characters`
  if (keyword === 'minItems') return `must have at least ${limit} entries`
  if (keyword === 'maxItems') return `must have at most ${limit} entries`
  if (keyword === 'minimum') return `must be ${limit} or more`
  if (keyword === 'maximum') return `must be ${limit} or less`
  if (keyword === 'uniqueItems') return 'must not have an entry twice'
  if (keyword === 'pattern') return 'does not have the form that is needed'
  return message
}
