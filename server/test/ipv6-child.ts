import { eventually } from './stack.ts'
import { run, visit } from './visit.ts'
import { addHostname, makeSite, startWorld, untilLive } from './world.ts'

/**
 * `ipv6-child.ts`, in a network namespace where fd00:1::/64 is local: a whole installation whose sites have IPv6
 * addresses of their own. Prints what clients that dial them see.
 */
await using world = await startWorld()
const { api, stack, root } = world
const port = stack.httpsPort
const own = await makeSite(api, 'Own address', { 'index.html': 'the site of ::5' })
const second = await makeSite(api, 'Second address', { 'index.html': 'the site of ::6' })
await untilLive(api, (await addHostname(world, own, 'own.test')).id)
await untilLive(api, (await addHostname(world, second, 'second.test')).id)
const give = async (address: string, siteId: string): Promise<string> => {
  const made = await api.post<{ id: string; address: string }>('/addresses', { address, use: 'dedicated' })
  await api.post(`/addresses/${made.id}/allocate`, { siteId })
  return made.address
}
// However an administrator spells it.
const shown = [await give('FD00:1:0:0::0005', own.siteId), await give('fd00:1::6', second.siteId)]
await api.post('/addresses', { address: 'fd00:1::7', use: 'shared' })

const outcomeOf = (address: string, serverName: string | null, protocol: 'h2' | 'http/1.1' = 'http/1.1') =>
  visit({ port, address, serverName, protocol, ...(serverName === null ? {} : { ca: root }) }).then(
    ({ body, names }) => `${body} ${names}`,
    (error: Error) => (/unrecognized name/i.test(error.message) ? 'unrecognized name' : error.message),
  )
await eventually(async () => (await outcomeOf('fd00:1::6', null)).startsWith('the site of'), 'both addresses serve')
await eventually(async () => (await outcomeOf('fd00:1::5', null)).startsWith('the site of'), 'both addresses serve')

const curl = async (url: string): Promise<string> => {
  const { stdout, stderr } = await run('curl', ['-gksS', url])
  return stdout + stderr
}
const seen = {
  shown,
  withoutName: [await outcomeOf('fd00:1::5', null), await outcomeOf('fd00:1::6', null)],
  http2: await outcomeOf('fd00:1::6', null, 'h2'),
  byName: [await outcomeOf('fd00:1::5', 'second.test'), await outcomeOf('fd00:1::7', 'own.test')],
  shared: await outcomeOf('fd00:1::7', null),
  unallocated: await outcomeOf('fd00:1::99', null),
  foreignName: await outcomeOf('fd00:1::5', 'nobody.test'),
  curl: await curl(`https://[fd00:1::5]:${port}/`),
  plain: await curl(`http://[fd00:1::5]:${stack.httpPort}/`),
  ipv4: await outcomeOf('127.0.0.1', 'own.test'),
}
process.stdout.write(JSON.stringify(seen))
