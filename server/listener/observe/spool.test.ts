import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { isTrafficRow, OTHER_SITE, type TrafficRow, trafficFields } from '../../contract/traffic.ts'
import { createLog } from '../../process/log.ts'
import { openSpool } from './spool.ts'

const log = createLog('test', 'fatal')
const row = (siteId: string, hour: number, requests: number): TrafficRow => ({
  siteId,
  hour,
  counts: trafficFields.map((field) => (field === 'requests' ? requests : 0)),
})
const told = (rows: readonly TrafficRow[] | undefined) =>
  rows?.map(({ siteId, hour, counts }) => [siteId, hour, counts[0]])

describe('the spool of counters', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'nameplate-spool-'))
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  test('adds up what was not sent yet, and leaves a batch that was sent as it is', () => {
    const spool = openSpool(folder, log)
    spool.add([row('a', 1, 1), row('b', 1, 1)])
    spool.add([row('a', 1, 2), row('a', 2, 5)])
    const first = spool.next()
    expect(told(first?.rows)).toEqual([
      ['a', 1, 3],
      ['a', 2, 5],
      ['b', 1, 1],
    ])
    spool.add([row('a', 1, 10)])
    expect(spool.next()).toEqual(first)
    spool.confirm(first?.sequence ?? 0)
    expect(told(spool.next()?.rows)).toEqual([['a', 1, 10]])
    spool.close()
  })

  test('a restart sends the same batch under the same number, and gives no number twice', () => {
    const before = openSpool(folder, log)
    before.add([row('a', 1, 1)])
    const sent = before.next()
    before.add([row('a', 1, 7)])
    before.close()
    const after = openSpool(folder, log)
    expect(after.next()).toEqual(sent)
    after.confirm(sent?.sequence ?? 0)
    const second = after.next()
    expect(second?.sequence).toBeGreaterThan(sent?.sequence ?? 0)
    after.confirm(second?.sequence ?? 0)
    after.close()
    const last = openSpool(folder, log)
    expect(last.next()).toBeNull()
    last.add([row('a', 2, 1)])
    expect(last.next()?.sequence).toBeGreaterThan(second?.sequence ?? 0)
    expect(last.next()?.spoolId).toBe(sent?.spoolId)
    last.close()
  })

  test('is bounded: beyond the limit sites are counted together', () => {
    const spool = openSpool(folder, log, 3)
    spool.add([row('a', 1, 1), row('b', 1, 1)])
    spool.add([row('c', 1, 1), row('d', 1, 1), row('a', 1, 1)])
    expect(told(spool.next()?.rows)).toEqual([
      [OTHER_SITE, 1, 2],
      ['a', 1, 2],
      ['b', 1, 1],
    ])
    spool.close()
  })

  test('a damaged file is set aside, and counting goes on under another id', () => {
    const before = openSpool(folder, log)
    before.add([row('a', 1, 1)])
    const id = before.next()?.spoolId
    before.close()
    writeFileSync(join(folder, 'traffic.sqlite'), 'not a database'.repeat(500))
    const after = openSpool(folder, log)
    expect(after.next()).toBeNull()
    after.add([row('a', 1, 1)])
    expect(after.next()?.spoolId).not.toBe(id)
    after.close()
  })

  test('a file that another process holds is waited for and never set aside', async () => {
    const before = openSpool(folder, log)
    before.add([row('a', 1, 1)])
    const id = before.next()?.spoolId
    before.close()
    // A program of its own, for opening blocks this one: it holds the file for 3 s.
    const hold = `
      const file = new (require('node:sqlite').DatabaseSync)(process.argv[1])
      file.exec('begin exclusive')
      process.stdout.write('held')
      setTimeout(() => file.exec('commit'), 3_000)`
    const holder = spawn(process.execPath, ['-e', hold, join(folder, 'traffic.sqlite')])
    await once(holder.stdout, 'data')
    const after = openSpool(folder, log)
    after.add([row('a', 2, 1)])
    expect(after.next()?.spoolId).toBe(id)
    expect(readdirSync(folder).filter((name) => name.includes('damaged'))).toEqual([])
    after.close()
    if (holder.exitCode === null) await once(holder, 'exit')
  })

  test('where the disk refuses, counters are kept in memory', () => {
    // A folder where the file should be is what root cannot open either.
    mkdirSync(join(folder, 'traffic.sqlite'))
    const inTheWay = join(folder, 'file')
    writeFileSync(inTheWay, '')
    for (const place of [folder, join(inTheWay, 'traffic')]) {
      const spool = openSpool(place, log)
      spool.add([row('a', 1, 1), row('b', 1, 2)])
      const batch = spool.next()
      expect(told(batch?.rows)).toEqual([
        ['a', 1, 1],
        ['b', 1, 2],
      ])
      spool.confirm(batch?.sequence ?? 0)
      expect(spool.next()).toBeNull()
      spool.close()
    }
    expect(readdirSync(folder).sort()).toEqual(['file', 'traffic.sqlite'])
  })

  test('rows of versions that count more or less are added up and sent whole', () => {
    const spool = openSpool(folder, log)
    spool.add([{ siteId: 'a', hour: 1, counts: [1, 2] }, row('a', 1, 3)])
    const longer = [...row('b', 1, 4).counts, 7]
    spool.add([row('b', 1, 1), { siteId: 'b', hour: 1, counts: longer }])
    const rows = spool.next()?.rows
    expect(rows?.every(isTrafficRow)).toBe(true)
    expect(rows?.map(({ siteId, counts }) => [siteId, counts[0], counts[1], counts[trafficFields.length]])).toEqual([
      ['a', 4, 2, undefined],
      ['b', 5, 0, 7],
    ])
    spool.close()
  })
})
