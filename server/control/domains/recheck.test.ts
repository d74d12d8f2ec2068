import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createLog } from '../../process/log.ts'
import { createDomainRig, type DomainRig } from '../../test/domains.ts'
import { system } from '../auth/access.ts'
import { type Hints, openHints } from '../jobs/hints.ts'
import { takeDueHostnames } from './due-store.ts'
import { startRecheckLoop } from './recheck.ts'

const log = createLog('test', 'silent')
let rig: DomainRig
let hints: Hints
beforeAll(async () => {
  rig = await createDomainRig()
  hints = openHints(rig.api.databaseUrl, log)
})
afterAll(async () => {
  await hints.close()
  await rig[Symbol.asyncDispose]()
})

const start = () => startRecheckLoop({ db: rig.api.db, checker: rig.checker, hints, log })
const state = async (id: string) => (await rig.hostnames.get(system, id)).ownership.state
async function until(isDone: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 45_000
  while (!(await isDone())) {
    if (Date.now() > deadline) throw new Error('it did not happen in time')
    await sleep(20)
  }
}
const makeDue = () => rig.api.db.hostname.updateMany({ data: { checkDueAt: new Date(Date.now() - 1_000) } })

test('a name is verified by itself soon after its record appears, a domain without names too', async () => {
  const loop = start()
  try {
    const name = await rig.add('self.test')
    const domain = await rig.domains.create(system, { name: 'empty.test', tenantId: rig.api.tenantId }, {})
    await until(async () => (await rig.hostnames.get(system, name.id)).ownership.problem !== undefined)
    rig.prove(name)
    rig.dns.set('TXT', '_nameplate-challenge.empty.test', [domain.instructions[0]?.value ?? ''])
    await until(async () => (await state(name.id)) === 'verified')
    await until(async () => (await rig.domains.get(system, domain.id)).state === 'verified')
    const { checkDueAt } = await rig.api.db.hostname.findUniqueOrThrow({ where: { id: name.id } })
    expect(checkDueAt?.getTime()).toBeGreaterThan(Date.now() + 20 * 3_600_000)
  } finally {
    await loop.stop()
  }
})

test('names whose DNS keeps silent get places of their own and hold up nobody', async () => {
  const silent = []
  for (let index = 0; index < 20; index++) {
    rig.dns.fail(`_nameplate-challenge.silent${index}.test`, 'silence')
    rig.dns.fail(`silent${index}.test`, 'silence')
    silent.push(await rig.add(`silent${index}.test`))
  }
  await rig.api.db.hostname.updateMany({
    where: { id: { in: silent.map(({ id }) => id) } },
    data: { checkProblem: { code: 'DNS_UNANSWERED', detail: 'as before', isSlow: true }, checkDueAt: new Date(0) },
  })
  const quick = await rig.add('quick.test')
  rig.prove(quick)
  const loop = start()
  try {
    await until(async () => (await state(quick.id)) === 'verified')
    const checked = await rig.api.db.hostname.count({
      where: { id: { in: silent.map(({ id }) => id) }, checkedAt: { not: null } },
    })
    expect(checked).toBeLessThan(silent.length)
  } finally {
    await loop.stop()
    rig.dns.clear()
  }
})

test('two loops share the work; a claim that was taken by one that died is due again after its lease', async () => {
  const names = []
  for (let index = 0; index < 30; index++) names.push(await rig.add(`share${index}.test`))
  await makeDue()
  const now = new Date()
  const [one, two] = await Promise.all([
    takeDueHostnames(rig.api.db, 'quick', 20, now),
    takeDueHostnames(rig.api.db, 'quick', 20, now),
  ])
  const taken = [...one, ...two].flatMap(({ hostnameIds }) => hostnameIds)
  expect(new Set(taken).size).toBe(taken.length)
  const first = taken[0] ?? ''
  expect(
    (await takeDueHostnames(rig.api.db, 'quick', 100, now)).flatMap(({ hostnameIds }) => hostnameIds),
  ).not.toContain(first)
  const later = new Date(now.getTime() + 61_000)
  expect((await takeDueHostnames(rig.api.db, 'quick', 100, later)).flatMap(({ hostnameIds }) => hostnameIds)).toContain(
    first,
  )

  for (const name of names) rig.prove(name)
  await makeDue()
  const loops = [start(), start()]
  try {
    await until(
      async () =>
        (await rig.api.db.hostname.count({ where: { name: { startsWith: 'share' }, ownershipState: 'verified' } })) ===
        30,
    )
    const verified = await rig.api.db.event.groupBy({
      by: ['subjectId'],
      where: { action: 'hostname.verified', subjectName: { startsWith: 'share' } },
      _count: true,
    })
    expect(verified.map(({ _count }) => _count)).toEqual(Array.from({ length: 30 }, () => 1))
  } finally {
    await Promise.all(loops.map((loop) => loop.stop()))
  }
})

test('a check that fails on our own side is made again soon, not at the end of its lease', async () => {
  const hostname = await rig.add('stumble.test')
  rig.prove(hostname)
  let failures = 0
  const stumbling = {
    ...rig.checker,
    check: async (...of: Parameters<typeof rig.checker.check>) => {
      failures += 1
      if (failures === 1) throw new Error('the database stumbled')
      return rig.checker.check(...of)
    },
  }
  await rig.api.db.hostname.update({ where: { id: hostname.id }, data: { checkDueAt: new Date(0) } })
  const loop = startRecheckLoop({ db: rig.api.db, checker: stumbling, hints, log })
  try {
    await until(async () => (await state(hostname.id)) === 'verified')
  } finally {
    await loop.stop()
  }
  expect(failures).toBeGreaterThan(1)
})

test('one record proves a thousand names, without a thousand questions', async () => {
  const { db, tenantId } = rig.api
  const first = await rig.add('wide.test')
  await db.hostname.createMany({
    data: Array.from({ length: 1_000 }, (_, index) => ({
      tenantId,
      domainId: first.domainId,
      siteId: rig.sites.own,
      name: `n${index}.wide.test`,
      checkDueAt: new Date(0),
    })),
  })
  rig.prove(first)
  const loop = start()
  try {
    await until(
      async () =>
        (await db.hostname.count({ where: { domainId: first.domainId, ownershipState: 'verified' } })) === 1_001,
    )
  } finally {
    await loop.stop()
  }
  expect(rig.dns.questions.filter((question) => question.endsWith('wide.test')).length).toBeLessThan(50)
})
