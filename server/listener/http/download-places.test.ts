import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import type { Deadlines } from '../deadlines.ts'
import type { Connection } from './connection.ts'
import { downloadPlaces } from './download-places.ts'
import { createExchange, type Exchange, type Sent } from './exchange.ts'
import { MAX_OPEN_DOWNLOADS } from './limits.ts'

/** A connection whose places are all taken, and a clock of the test. */
async function rig() {
  let now = 0
  const armed = new Set<{ dueMs: number; expire: () => void }>()
  const deadlines: Deadlines = {
    arm(ms, expire) {
      const entry = { dueMs: now + ms, expire }
      armed.add(entry)
      return {
        rearm(next) {
          entry.dueMs = now + next
        },
        clear: () => void armed.delete(entry),
      }
    },
    close: () => armed.clear(),
  }
  const pass = (ms: number): void => {
    now += ms
    for (const entry of [...armed]) if (armed.has(entry) && entry.dueMs <= now) entry.expire()
  }
  const connection = { tls: () => null } as unknown as Connection
  const ask = (): Exchange => {
    const wire = { out: new PassThrough(), head() {}, sendContinue() {}, abort() {} }
    return createExchange({ connection, headers: {} } as unknown as Sent, wire, deadlines, () => undefined)
  }
  const places = downloadPlaces(connection)
  for (let at = 0; at < MAX_OPEN_DOWNLOADS; at += 1) expect(await places.take(ask())).toBe(true)
  return { places, ask, pass }
}

test('a place goes to who waits longest and is still there', async () => {
  const { places, ask } = await rig()
  const [gone, next] = [ask(), ask()]
  const [first, second] = [places.take(gone), places.take(next)]
  gone.abort()
  expect(await first).toBe(false)
  places.give()
  expect(await second).toBe(true)
  expect(await places.take(gone)).toBe(false)
})

test('who waits is broken off when no piece leaves, and not while the others get on', async () => {
  const { places, ask, pass } = await rig()
  const exchange = ask()
  const taken = places.take(exchange)
  for (let turn = 0; turn < 10; turn += 1) {
    pass(60_000)
    places.moved()
  }
  expect(exchange.isClosed).toBe(false)
  pass(120_000)
  expect(exchange.isClosed).toBe(true)
  expect(await taken).toBe(false)
})
