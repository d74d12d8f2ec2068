import { once } from 'node:events'
import { get } from 'node:http'
import { Server } from 'node:net'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { createLog } from './log.ts'
import { startMetricsServer } from './metrics-server.ts'

const pages = { '/metrics': () => ({ type: 'text/plain', body: 'up 1\n' }) }
const start = () =>
  startMetricsServer({ listen: { address: '127.0.0.1', port: 0 }, pages, log: createLog('test', 'silent') })

describe('the metrics address', () => {
  afterEach(() => {
    vi.useRealTimers()
    vi.restoreAllMocks()
  })

  test('answers every target, and shows a page whatever its query', async () => {
    const server = start()
    await expect.poll(() => server.port).toBeGreaterThan(0)
    const statusOf = async (path: string): Promise<number | undefined> => {
      const [response] = await once(get({ port: server.port, host: '127.0.0.1', path, agent: false }), 'response')
      response.resume()
      return response.statusCode
    }
    for (const path of ['//', '///', '//[', 'http://', '*', '/metrics/', '/__proto__'])
      expect([path, await statusOf(path)]).toEqual([path, 404])
    expect(await statusOf('/metrics?x=//')).toBe(200)
    await server.close()
  })

  test('does not listen again after an error of a server that listens', async () => {
    const listen = vi.spyOn(Server.prototype, 'listen')
    const server = start()
    await expect.poll(() => server.port).toBeGreaterThan(0)
    const inner = listen.mock.contexts[0] as Server
    vi.useFakeTimers()
    inner.emit('error', new Error('accept EMFILE'))
    expect(() => vi.advanceTimersByTime(60_000)).not.toThrow()
    expect(listen).toHaveBeenCalledTimes(1)
    await server.close()
  })
})
