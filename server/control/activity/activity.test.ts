import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createLog } from '../../process/log.ts'
import { type ApiRig, createApiRig, type Kind, kinds, statusByKind } from '../../test/api.ts'
import { blocksOf } from '../../test/event-stream.ts'
import { recordEvent } from '../events/record.ts'
import { type Hints, openHints } from '../jobs/hints.ts'
import { createEventHistory } from './history.ts'
import { eventRoutes } from './routes.ts'
import { createEventStreams } from './stream.ts'
import { createEventTail } from './tail.ts'

type Told = { readonly id: string; readonly action: string; readonly tenantId: string | null }

describe('events', () => {
  let rig: ApiRig
  let hints: Hints
  let base: string
  beforeAll(async () => {
    const log = createLog('test', 'fatal')
    rig = await createApiRig({
      routes: ({ db, databaseUrl }) => {
        hints = openHints(databaseUrl, log)
        return [eventRoutes(createEventHistory(db), createEventStreams({ db, hints, log, heartbeatMs: 100 }))]
      },
    })
    await rig.app.listen({ port: 0, host: '127.0.0.1' })
    base = `http://127.0.0.1:${(rig.app.server.address() as AddressInfo).port}/api/v1`
  })
  afterAll(async () => {
    await rig[Symbol.asyncDispose]()
    await hints.close()
  })

  const happen = (action: string, tenantId: string | null, subjectId?: string) =>
    rig.db.$transaction((tx) =>
      recordEvent(tx, { actor: 'system', tenantId, action, ...(subjectId === undefined ? {} : { subjectId }) }),
    )

  /** Reads a real stream until `last` has been told, or to its end. */
  async function follow(
    kind: Kind,
    last: string | null,
    start: () => Promise<unknown>,
    more: RequestInit & { query?: string } = {},
  ) {
    const headers = { authorization: `Bearer ${rig.as(kind).token}`, ...more.headers }
    const response = await fetch(`${base}/events${more.query ?? ''}`, { headers })
    expect(response.headers.get('content-type')).toContain('text/event-stream')
    const told: Told[] = []
    let begun: Promise<unknown> | null = null
    for await (const block of blocksOf(response)) {
      begun ??= start().then(() => undefined)
      const data = /^data: (.*)$/m.exec(block)?.[1]
      if (data !== undefined) told.push(JSON.parse(data) as Told)
      if (last !== null && told.at(-1)?.action === last) break
    }
    await begun
    return told
  }

  test('a stream tells what its reader may see, and nothing else', async () => {
    const make = async () => {
      await happen('site.created', rig.otherTenantId)
      await happen('settings.changed', null)
      await happen('hostname.verified', rig.tenantId)
    }
    expect((await follow('viewer', 'hostname.verified', make)).map((event) => event.tenantId)).toEqual([rig.tenantId])
    const all = await follow('support', 'hostname.verified', make)
    expect(all.map((event) => event.action)).toEqual(['site.created', 'settings.changed', 'hostname.verified'])
  })

  test('a stream can be narrowed to one object', async () => {
    const subjectId = rig.tenantId
    const make = async () => {
      await happen('site.created', rig.tenantId)
      await happen('site.changed', rig.tenantId, subjectId)
    }
    const told = await follow('owner', 'site.changed', make, { query: `?subjectId=${subjectId}` })
    expect(told.map((event) => event.action)).toEqual(['site.changed'])
  })

  test('a stream resumes after the last id that was told', async () => {
    const before = await rig.db.event.findFirstOrThrow({ orderBy: { id: 'desc' } })
    await happen('missed.one', rig.tenantId)
    await happen('missed.other', rig.otherTenantId)
    await happen('missed.two', rig.tenantId)
    const headers = { 'last-event-id': before.id.toString() }
    const told = await follow('viewer', 'missed.two', async () => undefined, { headers })
    const fresh = told.filter((event) => BigInt(event.id) > before.id)
    expect(fresh.map((event) => event.action)).toEqual(['missed.one', 'missed.two'])
    expect(told.every((event) => event.tenantId === rig.tenantId)).toBe(true)
  })

  test('a stream ends when its session does', async () => {
    const end = () =>
      rig.db.session.updateMany({ where: { userId: rig.userIds.stranger }, data: { revokedAt: new Date() } })
    expect(await follow('stranger', null, end)).toEqual([])
    expect((await rig.as('stranger').inject({ url: '/events' })).statusCode).toBe(401)
  })

  test('one person has a bounded number of streams', async () => {
    const headers = { authorization: `Bearer ${rig.as('admin').token}` }
    const open = await Promise.all(Array.from({ length: 12 }, () => fetch(`${base}/events`, { headers })))
    expect(open.map((response) => response.status).filter((status) => status === 429)).toHaveLength(2)
    await Promise.all(open.map((response) => response.body?.cancel()))
  })

  test('history is newest first, in pages, and each sees the own', async () => {
    for (let at = 0; at < 5; at++) await happen(`paged.${at}`, rig.tenantId, rig.otherTenantId)
    await happen('paged.other', rig.otherTenantId, rig.otherTenantId)
    const seen: string[] = []
    let cursor = ''
    do {
      const url = `/events/history?limit=2&action=paged.&subjectId=${rig.otherTenantId}${cursor}`
      const page = (await rig.as('member').inject({ url })).json()
      seen.push(...page.items.map((event: Told) => event.action))
      cursor = page.nextCursor === null ? '' : `&cursor=${page.nextCursor}`
    } while (cursor !== '')
    expect(seen).toEqual(['paged.4', 'paged.3', 'paged.2', 'paged.1', 'paged.0'])
    const url = '/events/history'
    const statuses = await statusByKind(rig, { url })
    expect(kinds.map((kind) => statuses[kind])).toEqual([401, 401, 200, 200, 200, 200, 200])
    expect((await rig.as('viewer').inject({ url: `${url}?tenantId=${rig.otherTenantId}` })).json().items).toEqual([])
    expect((await rig.as('viewer').inject({ url: `${url}?cursor=AAAA` })).json().code).toBe('INVALID_CURSOR')
    expect((await rig.as('guest').inject({ url: '/events' })).statusCode).toBe(401)
  })

  test('an event that commits after a later one is still told, once', async () => {
    const newest = await rig.db.event.findFirst({ orderBy: { id: 'desc' } })
    const tail = createEventTail(rig.db, newest?.id ?? 0n)
    let release = (): void => undefined
    const held = new Promise<void>((resolve) => (release = resolve))
    let isWritten = (): void => undefined
    const written = new Promise<void>((resolve) => (isWritten = resolve))
    const slow = rig.db.$transaction(async (tx) => {
      await recordEvent(tx, { actor: 'system', tenantId: null, action: 'slow.event' })
      isWritten()
      await held
    })
    await written
    await happen('quick.event', null)
    const actions = async () => (await tail.read()).map((event) => event.action)
    expect(await actions()).toEqual(['quick.event'])
    expect(await actions()).toEqual([])
    release()
    await slow
    expect(await actions()).toEqual(['slow.event'])
    expect(await actions()).toEqual([])
  })

  test('an id that was rolled back is not waited for without end', async () => {
    const newest = await rig.db.event.findFirst({ orderBy: { id: 'desc' } })
    const tail = createEventTail(rig.db, newest?.id ?? 0n)
    const broken = rig.db.$transaction(async (tx) => {
      await recordEvent(tx, { actor: 'system', tenantId: null, action: 'never.event' })
      throw new Error('rolled back')
    })
    await expect(broken).rejects.toThrow('rolled back')
    await happen('next.event', null)
    expect((await tail.read(0)).map((event) => event.action)).toEqual(['next.event'])
    expect(await tail.read(61_000)).toEqual([])
  })
})
