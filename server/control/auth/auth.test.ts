import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ApiRig, createApiRig, edgeHeaders } from '../../test/api.ts'
import { platformRoutes } from '../../test/platform-routes.ts'
import { hashPassword } from './password.ts'

const PASSWORD = 'correct horse battery'

/** A browser: keeps the refresh cookie. */
function browser(rig: ApiRig, headers: Record<string, string> = {}) {
  let cookie: string | null = null
  const call = async (url: string, payload?: object, more: Record<string, string> = {}) => {
    const response = await rig.app.inject({
      method: 'POST',
      url: `/api/v1${url}`,
      headers: { ...headers, ...more, ...(cookie === null ? {} : { cookie }) },
      ...(payload === undefined ? {} : { payload }),
    })
    const set = response.headers['set-cookie']
    if (typeof set === 'string') cookie = set.split(';')[0] ?? null
    return response
  }
  return {
    call,
    login: (email: string, password = PASSWORD) => call('/auth/login', { email, password }),
    refresh: (more: Record<string, string> = {}) => call('/auth/refresh', undefined, more),
    get cookie() {
      return cookie
    },
    set cookie(value) {
      cookie = value
    },
  }
}

describe('sign-in', () => {
  let rig: ApiRig
  let count = 0
  beforeAll(async () => {
    rig = await createApiRig({ routes: platformRoutes })
  })
  afterAll(() => rig[Symbol.asyncDispose]())

  /** A person of his own for each test, since accounts are rate-limited. */
  const person = async (): Promise<{ id: string; email: string }> => {
    const email = `person${++count}@example.test`
    return rig.db.user.create({ data: { email, passwordHash: await hashPassword(PASSWORD) } })
  }
  const me = async (accessToken: string) => {
    const headers = { authorization: `Bearer ${accessToken}` }
    return (await rig.app.inject({ url: '/api/v1/auth/me', headers })).statusCode
  }
  /** As if the last rotation was long ago. */
  const ageRotation = (userId: string) =>
    rig.db.session.updateMany({ where: { userId }, data: { rotatedAt: new Date(Date.now() - 60_000) } })

  test('gives an access token and a cookie that scripts and other sites cannot use', async () => {
    const { email } = await person()
    const response = await browser(rig).login(email.toUpperCase())
    expect(response.statusCode).toBe(200)
    expect(response.json()).toMatchObject({ expiresInSeconds: 600, user: { email, hasPassword: true } })
    expect(response.body).not.toContain('argon2')
    const claims = rig.app.jwt.decode<{ iat: number; exp: number }>(response.json().accessToken)
    expect((claims?.exp ?? 0) - (claims?.iat ?? 0)).toBe(600)
    const cookie = String(response.headers['set-cookie'])
    for (const part of ['nameplate_refresh=', 'HttpOnly', 'SameSite=Strict', 'Path=/api/v1/auth'])
      expect(cookie).toContain(part)
    expect(response.headers['cache-control']).toBe('no-store')
    expect(await me(response.json().accessToken)).toBe(200)
  })

  test('over https the cookie is bound to the host', async () => {
    await using behind = await createApiRig({ routes: platformRoutes, isBehindListener: true })
    await behind.db.user.create({ data: { email: 'a@example.test', passwordHash: await hashPassword(PASSWORD) } })
    const headers = { 'x-forwarded-proto': 'https', 'x-forwarded-for': '192.0.2.7', ...edgeHeaders(behind.vault) }
    const secure = browser(behind, headers)
    const cookie = String((await secure.login('a@example.test')).headers['set-cookie'])
    for (const part of ['__Host-nameplate_refresh=', 'Secure', 'Path=/;']) expect(cookie).toContain(part)
    expect(cookie).not.toContain('Domain')
    expect((await secure.refresh()).statusCode).toBe(200)
  })

  test.each([
    ['a wrong password', 'right', 'wrong password'],
    ['an unknown e-mail', 'nobody@example.test', PASSWORD],
  ])('refuses %s with the same words', async (_what, email, password) => {
    const known = await person()
    const response = await browser(rig).login(email === 'right' ? known.email : email, password)
    expect(response.statusCode).toBe(401)
    expect(response.json()).toMatchObject({ code: 'CREDENTIALS_WRONG', detail: 'Check both and try again.' })
    expect(response.headers['set-cookie']).toBeUndefined()
  })

  test('refuses users who are disabled or have no password', async () => {
    const disabled = await person()
    await rig.db.user.update({ where: { id: disabled.id }, data: { disabledAt: new Date() } })
    expect((await browser(rig).login(disabled.email)).json().code).toBe('CREDENTIALS_WRONG')
    expect((await browser(rig).login('viewer@example.test', 'anything at all')).json().code).toBe('CREDENTIALS_WRONG')
  })

  test('refreshes with a new secret each time', async () => {
    const { email } = await person()
    const tab = browser(rig)
    await tab.login(email)
    const first = tab.cookie
    const response = await tab.refresh()
    expect(response.statusCode).toBe(200)
    expect(await me(response.json().accessToken)).toBe(200)
    expect(tab.cookie).not.toBe(first)
    expect((await tab.refresh()).statusCode).toBe(200)
  })

  test('two tabs that refresh at once both go on', async () => {
    const { email } = await person()
    const tab = browser(rig)
    await tab.login(email)
    const headers = { cookie: String(tab.cookie) }
    const both = await Promise.all([1, 2].map(() => browser(rig).refresh(headers)))
    expect(both.map((response) => response.statusCode)).toEqual([200, 200])
    expect(both.filter((response) => response.headers['set-cookie'] !== undefined)).toHaveLength(1)
  })

  test.each([1, 3])('a secret that is used again %i rotations later ends the session', async (rotations) => {
    const { id, email } = await person()
    const owner = browser(rig)
    const accessToken = (await owner.login(email)).json().accessToken
    const stolen = { cookie: String(owner.cookie) }
    for (let turn = 0; turn < rotations; turn++) expect((await owner.refresh()).statusCode).toBe(200)
    await ageRotation(id)
    const theft = await browser(rig).refresh(stolen)
    expect([theft.statusCode, theft.json().code]).toEqual([401, 'SESSION_ENDED'])
    expect((await owner.refresh()).statusCode).toBe(401)
    expect(await me(accessToken)).toBe(401)
    expect(await rig.db.event.count({ where: { action: 'session.revoked_as_stolen', subjectId: id } })).toBe(1)
  })

  test('a made-up secret is refused and ends nothing', async () => {
    const { email } = await person()
    const tab = browser(rig)
    await tab.login(email)
    const genuine = String(tab.cookie)
    const forged = `${genuine.slice(0, -4)}AAAA`
    for (const cookie of [
      forged,
      'nameplate_refresh=',
      'nameplate_refresh=x',
      `nameplate_refresh=${'A'.repeat(3_000)}`,
    ])
      expect((await browser(rig).refresh({ cookie })).statusCode).toBe(401)
    expect((await tab.refresh()).statusCode).toBe(200)
  })

  test('log-out ends the session at once, by cookie or by access token', async () => {
    const { email } = await person()
    const tab = browser(rig)
    const byCookie = (await tab.login(email)).json().accessToken
    expect((await tab.call('/auth/logout')).statusCode).toBe(204)
    expect(await me(byCookie)).toBe(401)
    const other = browser(rig)
    const byToken = (await other.login(email)).json().accessToken
    const headers = { authorization: `Bearer ${byToken}` }
    expect((await rig.app.inject({ method: 'POST', url: '/api/v1/auth/logout', headers })).statusCode).toBe(204)
    expect(await me(byToken)).toBe(401)
    expect((await other.refresh()).statusCode).toBe(401)
  })

  test('refuses what another site makes the browser send', async () => {
    const { email } = await person()
    const tab = browser(rig, { host: 'panel.test' })
    await tab.login(email)
    for (const headers of [{ origin: 'https://evil.test' }, { origin: 'null' }, { 'sec-fetch-site': 'same-site' }])
      for (const url of ['/auth/refresh', '/auth/logout'])
        expect((await tab.call(url, undefined, headers as never)).json().code).toBe('FORBIDDEN')
    const own = await tab.refresh({ origin: 'http://panel.test', 'sec-fetch-site': 'same-origin' })
    expect(own.statusCode).toBe(200)
  })

  test('a forged, foreign or expired access token is refused', async () => {
    const { id, email } = await person()
    const accessToken: string = (await browser(rig).login(email)).json().accessToken
    const [head, body, mac] = accessToken.split('.')
    const none = `${Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url')}.${body}.`
    const claims = rig.app.jwt.decode<{ sub: string; sid: string }>(accessToken)
    if (claims === null) throw new Error('the access token cannot be read')
    const { sub, sid } = claims
    expect(await me(rig.app.jwt.sign({ sub, sid }))).toBe(200)
    const expired = rig.app.jwt.sign({ sub, sid }, { expiresIn: 1, clockTimestamp: Date.now() - 60_000 })
    const foreignKey = rig.app.jwt.sign({ sub, sid }, { key: 'another key', iss: 'nameplate' })
    const foreignIssuer = rig.app.jwt.sign({ sub, sid }, { iss: 'another' })
    const noSession = rig.app.jwt.sign({ sub: id, sid: '00000000-0000-7000-8000-000000000000' })
    for (const token of [none, `${head}.${body}.${mac?.slice(1)}`, expired, foreignKey, foreignIssuer, noSession]) {
      const response = await rig.app.inject({ url: '/api/v1/auth/me', headers: { authorization: `Bearer ${token}` } })
      expect([response.statusCode, response.json().code]).toEqual([401, 'SESSION_ENDED'])
    }
  })

  test('a session of somebody else does not fit', async () => {
    const one = await person()
    const session = await rig.db.session.findFirstOrThrow({ where: { userId: rig.userIds.admin } })
    expect(await me(rig.app.jwt.sign({ sub: one.id, sid: session.id }))).toBe(401)
  })

  test('a role that is taken away ends at once', async () => {
    const { id, email } = await person()
    await rig.db.user.update({ where: { id }, data: { platformRole: 'admin' } })
    const headers = { authorization: `Bearer ${(await browser(rig).login(email)).json().accessToken}` }
    expect((await rig.app.inject({ url: '/api/v1/users', headers })).statusCode).toBe(200)
    await rig.db.user.update({ where: { id }, data: { platformRole: null } })
    expect((await rig.app.inject({ url: '/api/v1/users', headers })).statusCode).toBe(403)
  })

  test('slows down guessing at one account from many addresses', async () => {
    const { email } = await person()
    const answers = []
    for (let turn = 0; turn < 21; turn++)
      answers.push(
        await rig.app.inject({
          method: 'POST',
          url: '/api/v1/auth/login',
          payload: { email, password: 'wrong password' },
          remoteAddress: `192.0.2.${turn}`,
        }),
      )
    expect(answers.map((answer) => answer.statusCode)).toEqual([...Array(20).fill(401), 429])
    expect(answers.at(-1)?.json().code).toBe('TOO_MANY_REQUESTS')
    expect(Number(answers.at(-1)?.headers['retry-after'])).toBeGreaterThan(0)
  })

  test('slows down guessing at many accounts from one address', async () => {
    const statuses = []
    for (let turn = 0; turn < 31; turn++) {
      const payload = { email: `guess${turn}@example.test`, password: 'wrong password' }
      const call = { method: 'POST', url: '/api/v1/auth/login', payload, remoteAddress: '198.51.100.1' } as const
      statuses.push((await rig.app.inject(call)).statusCode)
    }
    expect(statuses).toEqual([...Array(30).fill(401), 429])
  })
})
