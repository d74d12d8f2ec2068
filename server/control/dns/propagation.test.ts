import { expect, test } from 'vitest'
import { DialError } from '../outbound/dialler.ts'
import type { Ask, NameServer } from './ask.ts'
import { encodeText, type ReadMessage, types } from './dns-message.ts'
import { isEverywhere, lookAtServers, sightingsProblem } from './propagation.ts'

/** What an address says: its TXT values at the name, or nothing at all. */
type Says = readonly string[] | null

/** Answers as messages; how they come over the wire is shown at real servers elsewhere. */
function askOf(world: Readonly<Record<string, Says>>): Pick<Ask, 'server'> {
  return {
    server: async (address, name) => {
      const values = world[address]
      if (values === null || values === undefined) throw new DialError('timeout', 'it did not answer in time')
      const record = (text: string) => ({
        name,
        type: types.TXT,
        class: 1,
        ttl: 0,
        data: encodeText(text),
        target: null,
      })
      return { answers: values.map(record) } as unknown as ReadMessage
    },
  }
}

const server = (host: string, addresses: string[], problem: string | null = null): NameServer => ({
  host,
  addresses,
  problem,
})

test.each<[string, Record<string, Says>, readonly NameServer[], boolean, RegExp]>([
  ['one server', { a: ['v'] }, [server('ns1', ['a'])], true, /^/],
  ['beside others', { a: ['x', 'v'] }, [server('ns1', ['a'])], true, /^/],
  ['one of two lacks it', { a: ['v'], b: ['x'] }, [server('ns1', ['a']), server('ns2', ['b'])], false, /by ns2$/],
  ['one of two is silent', { a: ['v'], b: null }, [server('ns1', ['a']), server('ns2', ['b'])], false, /from ns2 \(/],
  ['its IPv6 is out of reach', { a: ['v'], a6: null }, [server('ns1', ['a', 'a6'])], true, /^/],
  ['its IPv6 lags', { a: ['v'], a6: [] }, [server('ns1', ['a', 'a6'])], false, /by ns1$/],
  ['no address may be dialled', {}, [server('ns1', [], 'is not public')], false, /from ns1 \(is not public\)/],
  ['no address at all', {}, [server('ns1', [])], false, /from ns1 \(it has no address\)/],
  ['no server', {}, [], false, /^/],
  ['a prefix of the value', { a: ['v1'] }, [server('ns1', ['a'])], false, /by ns1$/],
])('%s', async (_, world, servers, expected, problem) => {
  const zone = { name: 'zone.test', servers }
  const wanted = { fqdn: 'x.zone.test', value: 'v' }
  const sightings = await lookAtServers(askOf(world) as Ask, zone, wanted, new AbortController().signal)
  expect(isEverywhere(sightings)).toBe(expected)
  expect(sightingsProblem(sightings, wanted.fqdn)).toMatch(problem)
})
