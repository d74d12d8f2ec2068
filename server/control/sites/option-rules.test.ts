import { expect, test } from 'vitest'
import { createTestAuthority } from '../../test/certificates.ts'
import { optionProblems } from './option-rules.ts'
import type { SiteOptionsChange } from './option-schema.ts'

const problemsOf = (options: SiteOptionsChange, kind: 'static' | 'proxy' | 'redirect' = 'static'): string[] =>
  optionProblems(kind, options).map(({ field, detail }) => `${field}: ${detail}`)

test('what is usual is fine', async () => {
  const authority = await createTestAuthority()
  expect(
    problemsOf({
      hsts: { maxAgeSeconds: 31_536_000, includeSubDomains: true, preload: true },
      headers: [{ path: '/*', set: { 'X-Frame-Options': 'DENY', Server: null, 'set-cookie': 'a=b; Secure' } }],
      redirects: [
        { path: '/old/*', to: '/new/*' },
        { path: '/feed', to: 'https://feeds.example.test/feed?x=1', status: 308 },
        { path: '/x*', to: 'https://example.test/*' },
      ],
      basicAuth: { realm: 'Staff', paths: ['/admin*'], users: [{ name: 'ö', password: 'long enough' }] },
      errorPages: { 404: '<h1>Nothing</h1>' },
      singlePage: 'app/index.html',
      cache: [{ path: '/assets/*', cacheControl: 'public, max-age=31536000, immutable' }],
      maxConnections: 10,
    }),
  ).toEqual([])
  const health = { path: '/health?deep=1', intervalSeconds: 10, timeoutSeconds: 10 }
  const proxy = { health, caPem: authority.caPem.repeat(2), tlsServerName: 'app' }
  expect(problemsOf({ proxy }, 'proxy')).toEqual([])
  expect(problemsOf({ hsts: null, headers: null, proxy: null, cache: null }, 'redirect')).toEqual([])
})

test.each([
  ['trailingSlash', { trailingSlash: 'keep' }, 'proxy'],
  ['singlePage', { singlePage: 'index.html' }, 'redirect'],
  ['cache', { cache: [] }, 'proxy'],
  ['dotFiles', { dotFiles: true }, 'proxy'],
  ['proxy', { proxy: { verifyTls: false } }, 'static'],
] as const)('%s belongs to one kind of site', (key, options, kind) => {
  expect(problemsOf(options as unknown as SiteOptionsChange, kind)).toEqual([
    expect.stringMatching(new RegExp(`^options\\.${key}: belongs to a site of the kind`)),
  ])
})

test('preload asks for a year and for what is below, and both are said', () => {
  expect(problemsOf({ hsts: { maxAgeSeconds: 300, preload: true } })).toEqual([
    expect.stringMatching(/^options\.hsts\.includeSubDomains: must be true/),
    expect.stringMatching(/^options\.hsts\.maxAgeSeconds: must be a year/),
  ])
})

test.each([
  ['Content-Length', '1', /set by the server itself/],
  ['transfer-encoding', null, /set by the server itself/],
  ['Connection', 'close', /set by the server itself/],
  ['upgrade', 'h2c', /set by the server itself/],
  ['strict-transport-security', 'max-age=1', /option `hsts`/],
  ['x y', '1', /no name of a field/],
  ['x:', '1', /no name of a field/],
  ['', '1', /no name of a field/],
  [':status', '200', /no name of a field/],
  ['x\r\ny', '1', /no name of a field/],
  ['x', 'a\r\nset-cookie: b', /visible ASCII/],
  ['x', 'a\0', /visible ASCII/],
  ['x', ' a', /visible ASCII/],
  ['x', 'größe', /visible ASCII/],
])('the field %j with the value %j is refused', (name, value, detail) => {
  const [problem, ...more] = problemsOf({ headers: [{ path: '/*', set: { [name]: value } }] })
  expect(more).toEqual([])
  expect(problem).toMatch(detail)
  expect(problem?.startsWith(`options.headers.0.set.${name}: `)).toBe(true)
})

test('a field twice, none at all, and more than 20 are refused', () => {
  expect(problemsOf({ headers: [{ path: '/', set: { 'X-A': '1', 'x-a': '2' } }] })).toHaveLength(1)
  expect(problemsOf({ headers: [{ path: '/', set: {} }] })[0]).toMatch(/^options\.headers\.0\.set: must hold 1 to 20/)
  const many = Object.fromEntries(Array.from({ length: 21 }, (_, at) => [`x-${at}`, '']))
  expect(problemsOf({ headers: [{ path: '/', set: many }] })[0]).toMatch(/must hold 1 to 20/)
})

test.each([
  ['docs', /begin with \//],
  ['', /begin with \//],
  ['/a*b', /last character alone/],
  ['/**', /last character alone/],
  ['/a?b', /without the query/],
  ['/a#b', /without the query/],
  ['/a%20b', /decoded path/],
  ['/a\nb', /control characters/],
])('the pattern %j is refused wherever one stands', (path, detail) => {
  const problems = problemsOf({
    headers: [{ path, set: { x: '1' } }],
    redirects: [{ path, to: 'https://a.test/' }],
    cache: [{ path, cacheControl: 'no-store' }],
    basicAuth: { realm: 'x', paths: ['/', path], users: [] },
  })
  expect(problems.map((problem) => problem.replace(/: .*/s, ''))).toEqual([
    'options.headers.0.path',
    'options.redirects.0.path',
    'options.cache.0.path',
    'options.basicAuth.paths.1',
  ])
  for (const problem of problems) expect(problem).toMatch(detail)
})

test.each([
  ['/a', 'example.test', /neither a path/],
  ['/a', 'javascript:alert(1)', /neither a path/],
  ['/a', 'https:///x', /neither a path/],
  ['/a', '//evil.test', /another host/],
  ['/a', '/\\evil.test', /another host/],
  ['/a', 'https://user:pw@example.test/', /user or password/],
  ['/a', '/b\r\nset-cookie: x', /visible ASCII/],
  ['/a', '/b*', /only where `path` does/],
  ['/a*', '/*/b', /last character alone/],
  ['/a*', 'https://example.test*', /between the host and the \*/],
  ['/a*', 'https://example.test?*', /between the host and the \*/],
  ['/a', '/a?again', /in circles/],
  ['/*', '/maintenance', /in circles/],
  ['/a*', '/ab*', /in circles/],
])('a redirect of %j to %j is refused', (path, to, detail) => {
  const [problem, ...more] = problemsOf({ redirects: [{ path, to }] })
  expect(more).toEqual([])
  expect(problem).toMatch(detail)
  expect(problem).toMatch(/^options\.redirects\.0\.to: /)
})

test('names, realms and passwords that no browser can send are refused', () => {
  const users = [{ name: 'a:b' }, { name: 'a' }, { name: 'a', password: 'with a\0 nul' }]
  const problems = problemsOf({ basicAuth: { realm: 'say "hi"', paths: ['/'], users } })
  expect(problems.map((problem) => problem.replace(/: .*/s, ''))).toEqual([
    'options.basicAuth.realm',
    'options.basicAuth.users.0.name',
    'options.basicAuth.users.2.name',
    'options.basicAuth.users.2.password',
  ])
  expect(problems.join('')).not.toContain('nul')
})

test.each(['/index.html', 'a//b', '../etc/passwd', 'a/./b', 'a\\b', 'a\0b', 'a/'])(
  'the single page %j is refused',
  (singlePage) => {
    expect(problemsOf({ singlePage })).toEqual([expect.stringMatching(/^options\.singlePage: must be the path/)])
  },
)

test('an error page is measured in bytes', () => {
  expect(problemsOf({ errorPages: { 404: 'ö'.repeat(32_768) } })).toEqual([])
  expect(problemsOf({ errorPages: { 404: 'ö'.repeat(32_769), 500: 'x' } })).toEqual([
    'options.errorPages.404: must have at most 64 KiB',
  ])
})

test('what cannot be used towards an upstream is refused', async () => {
  const authority = await createTestAuthority()
  const { privateKeyPem } = await authority.issue(['a.test'])
  const broken = authority.caPem.replace(/[A-Za-z0-9]{40}/, 'A'.repeat(40))
  const proxy = (caPem: string): string[] => problemsOf({ proxy: { caPem } }, 'proxy')
  expect(proxy('hello')).toEqual(['options.proxy.caPem: holds no certificate in PEM form'])
  expect(proxy(authority.caPem + privateKeyPem)[0]).toMatch(/holds a private key/)
  expect(proxy(authority.caPem + broken)[0]).toMatch(/cannot be read/)
  expect(proxy(authority.caPem.repeat(21))[0]).toMatch(/more than 20/)
  expect(proxy('-----BEGIN X-----\nAAAA\n-----END X-----')[0]).toMatch(/holds X/)
  const health = { path: 'health', intervalSeconds: 5, timeoutSeconds: 6 }
  expect(problemsOf({ proxy: { health, tlsServerName: '127.0.0.1' } }, 'proxy')).toEqual([
    'options.proxy.health.path: must begin with / and be visible ASCII',
    'options.proxy.health.timeoutSeconds: must not be longer than `intervalSeconds`',
    'options.proxy.tlsServerName: is no host name',
  ])
})
