import { expect, test } from 'vitest'
import { createReach } from '../../contract/reach.ts'
import { AppError } from '../errors.ts'
import { type ContentInput, siteContent } from './site-rules.ts'

const reach = createReach(['10.1.0.0/16'])

/** The problems by field, as `field: detail`. */
function problemsOf(kind: 'static' | 'proxy' | 'redirect', input: ContentInput): string {
  try {
    return JSON.stringify(siteContent(kind, input, reach))
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    expect(error.code).toBe('INVALID_INPUT')
    return error.errors.map(({ field, detail }) => `${field}: ${detail}`).join('\n')
  }
}

test('what belongs to the kind is stored in one form', () => {
  expect(siteContent('static', {}, reach)).toEqual({ upstreams: null, redirectTo: null, redirectStatus: null })
  const upstreams = [{ url: 'HTTP://App.Example.test:80/' }, { url: 'https://10.1.2.3:8443', weight: 3 }]
  expect(siteContent('proxy', { upstreams }, reach).upstreams).toEqual([
    { url: 'http://app.example.test', weight: 1 },
    { url: 'https://10.1.2.3:8443', weight: 3 },
  ])
  expect(siteContent('redirect', { redirectTo: 'https://example.test' }, reach)).toEqual({
    upstreams: null,
    redirectTo: 'https://example.test/',
    redirectStatus: 301,
  })
})

test('a change keeps what it does not name', () => {
  const current = { upstreams: null, redirectTo: 'https://a.test/', redirectStatus: 308 }
  expect(siteContent('redirect', { redirectTo: 'https://b.test/x' }, reach, current)).toMatchObject({
    redirectTo: 'https://b.test/x',
    redirectStatus: 308,
  })
  expect(siteContent('redirect', { redirectStatus: 302 }, reach, current)).toMatchObject({
    redirectTo: 'https://a.test/',
    redirectStatus: 302,
  })
})

test('what does not belong to the kind, or is missing, is named', () => {
  expect(problemsOf('static', { redirectTo: 'https://a.test/', redirectStatus: 301 })).toMatch(
    /^redirectTo: does not belong to .*"static".*\nredirectStatus: /,
  )
  expect(problemsOf('redirect', { upstreams: [{ url: 'http://a.test' }] })).toMatch(
    /^upstreams: does not belong.*\nredirectTo: is required/,
  )
  expect(problemsOf('proxy', {})).toMatch(/^upstreams: is required/)
})

test.each([
  ['ftp://a.test', /absolute URL/],
  ['a.test:80', /absolute URL/],
  ['//a.test', /absolute URL/],
  ['http://', /absolute URL/],
  ['http://user:secret@a.test', /user or password/],
  ['http://user@a.test', /user or password/],
  ['http://a.test/app', /end after host and port/],
  ['http://a.test/?x=1', /end after host and port/],
  ['http://127.0.0.1:3000', /127\.0\.0\.1 is a private, loopback/],
  ['http://2130706433', /127\.0\.0\.1 is a private/],
  ['http://0x7f.1/', /127\.0\.0\.1 is a private/],
  ['http://[::1]:80', /::1 is a private/],
  ['http://[::ffff:127.0.0.1]', /is a private/],
  ['http://169.254.169.254', /is a private/],
  ['http://10.2.0.1', /NAMEPLATE_OUTBOUND_ALLOW/],
  ['http://0.0.0.0', /is a private/],
])('the upstream %s is refused', (url, problem) => {
  const text = problemsOf('proxy', { upstreams: [{ url: 'http://ok.example.test' }, { url }] })
  expect(text).toMatch(/^upstreams\.1\.url: /)
  expect(text).toMatch(problem)
  expect(text).not.toContain('secret')
})

test.each(['/relative', 'example.test', 'javascript:alert(1)', 'https://user:pw@example.test/'])(
  'a redirect to %s is refused',
  (redirectTo) => {
    expect(problemsOf('redirect', { redirectTo })).toMatch(/^redirectTo: (is not an absolute URL|must not hold)/)
  },
)
