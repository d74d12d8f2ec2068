import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createLog } from '../../process/log.ts'
import { type ApiRig, createApiRig } from '../../test/api.ts'
import { platformRoutes } from '../../test/platform-routes.ts'
import { openVault } from '../open-vault.ts'
import { MasterKeyError } from '../vault.ts'
import { createSetupLink, seedAdmin } from './service.ts'

const PASSWORD = 'correct horse battery'
const quiet = createLog('test', 'fatal')

describe('set-up', () => {
  let rig: ApiRig
  beforeEach(async () => {
    rig = await createApiRig({ routes: platformRoutes })
    await rig.db.user.deleteMany({ where: { platformRole: 'admin' } })
  })
  afterEach(() => rig[Symbol.asyncDispose]())
  const complete = (token: string | null, more: object = {}) =>
    rig.as('guest').inject({
      method: 'POST',
      url: '/setup',
      payload: { token, email: 'First@example.test', password: PASSWORD, ...more },
    })
  const isOpen = async (): Promise<boolean> => (await rig.as('guest').inject({ url: '/setup' })).json().isOpen

  test('the link makes the first administrator, signs in and works once', async () => {
    const token = await createSetupLink(rig.db)
    expect(await isOpen()).toBe(true)
    const response = await complete(token)
    expect(response.statusCode).toBe(201)
    expect(response.json().user).toMatchObject({ email: 'first@example.test', platformRole: 'admin' })
    expect(String(response.headers['set-cookie'])).toContain('HttpOnly')
    const headers = { authorization: `Bearer ${response.json().accessToken}` }
    expect((await rig.app.inject({ url: '/api/v1/users', headers })).statusCode).toBe(200)
    expect(await isOpen()).toBe(false)
    expect((await complete(token, { email: 'second@example.test' })).json().code).toBe('SETUP_LINK_INVALID')
    expect(await createSetupLink(rig.db)).toBeNull()
  })

  test('of two who use the link at once one becomes administrator', async () => {
    const tokens = [await createSetupLink(rig.db), await createSetupLink(rig.db)]
    const both = await Promise.all(tokens.map((token, at) => complete(token, { email: `admin${at}@example.test` })))
    expect(both.map((response) => response.statusCode).sort()).toEqual([201, 403])
    expect(await rig.db.user.count({ where: { platformRole: 'admin' } })).toBe(1)
  })

  test('a link that is wrong or has expired makes nobody administrator', async () => {
    const token = await createSetupLink(rig.db)
    await rig.db.setupLink.updateMany({ data: { expiresAt: new Date(Date.now() - 1) } })
    for (const wrong of [token, 'x', randomBytes(32).toString('base64url')])
      expect((await complete(wrong)).json().code).toBe('SETUP_LINK_INVALID')
    expect(await rig.db.user.count({ where: { platformRole: 'admin' } })).toBe(0)
  })

  test('a refused password does not use the link up', async () => {
    const token = await createSetupLink(rig.db)
    expect((await complete(token, { password: 'short' })).json().code).toBe('INVALID_INPUT')
    expect((await complete(token)).statusCode).toBe(201)
  })

  test('a seed makes the first administrator, and is only a warning later', async () => {
    const warnings: string[] = []
    const log = Object.assign(createLog('test', 'fatal'), { warn: (text: string) => warnings.push(text) })
    await seedAdmin(rig.db, { email: null, password: null }, log)
    expect(await isOpen()).toBe(true)
    await seedAdmin(rig.db, { email: 'Seed@example.test', password: PASSWORD }, log)
    await seedAdmin(rig.db, { email: 'Seed@example.test', password: PASSWORD }, log)
    expect(warnings).toEqual([])
    await seedAdmin(rig.db, { email: 'other@example.test', password: PASSWORD }, log)
    await seedAdmin(rig.db, { email: 'seed@example.test', password: 'another password' }, log)
    expect(warnings).toHaveLength(2)
    const admins = await rig.db.user.findMany({ where: { platformRole: 'admin' } })
    expect(admins.map((admin) => admin.email)).toEqual(['seed@example.test'])
  })

  test('a seed that cannot be used says which setting', async () => {
    const seed = (email: string | null, password: string | null) => seedAdmin(rig.db, { email, password }, quiet)
    await expect(seed('a@example.test', 'short')).rejects.toThrow('NAMEPLATE_ADMIN_PASSWORD')
    await expect(seed('a@example.test', null)).rejects.toThrow('set both or none')
    expect(await isOpen()).toBe(true)
  })

  test('the installation knows its master key', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'nameplate-key-'))
    const open = async (name: string): Promise<Buffer> => {
      const place = { databaseUrl: rig.databaseUrl, masterKeyFile: join(folder, name) }
      const { vault, close } = await openVault({ ...place, log: quiet })
      await close()
      return vault.derive('test')
    }
    try {
      const [first, ...others] = await Promise.all([1, 2, 3].map(() => open('master.key')))
      const { feedId } = await rig.db.installation.findUniqueOrThrow({ where: { id: 1 } })
      for (const other of [...others, await open('master.key')]) expect(other).toEqual(first)
      expect((await rig.db.installation.findUniqueOrThrow({ where: { id: 1 } })).feedId).toBe(feedId)
      writeFileSync(join(folder, 'other.key'), randomBytes(32))
      await expect(open('other.key')).rejects.toThrow(MasterKeyError)
      await expect(open('other.key')).rejects.toThrow('NAMEPLATE_MASTER_KEY_FILE')
      await expect(open('missing.key')).rejects.toThrow('the master key is missing')
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
