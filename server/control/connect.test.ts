import { createServer } from 'node:net'
import { expect, inject, test } from 'vitest'
import { freePorts } from '../test/ports.ts'
import { DatabaseError, untilDatabaseAnswers } from './connect.ts'

test('a server that answers is enough', async () => {
  await untilDatabaseAnswers(inject('postgresUrl').replace('/nameplate?', '/postgres?'))
})

test('what is wrong is one line with the place and without the password', async () => {
  const [port] = await freePorts(1)
  const refused = untilDatabaseAnswers(`postgresql://u:secret@127.0.0.1:${port}/x`, 0)
  await expect(refused).rejects.toThrow(`DATABASE_URL: no PostgreSQL answers at 127.0.0.1:${port}`)
  const unknown = untilDatabaseAnswers('postgresql://u:secret@no-such-host.invalid/x', 0)
  await expect(unknown).rejects.toThrow(/cannot be resolved/)
  const missing = untilDatabaseAnswers(inject('postgresUrl').replace('/nameplate?', '/no_such_database?'), 0)
  await expect(missing).rejects.toThrow(/there is no database "no_such_database"/)
  for (const attempt of [refused, unknown, missing]) {
    const error = await attempt.catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(DatabaseError)
    expect((error as Error).message).not.toMatch(/secret|\n/)
  }
})

test('a wrong user is told at once, although there is patience', async () => {
  const url = new URL(inject('postgresUrl'))
  url.username = 'nobody_knows'
  await expect(untilDatabaseAnswers(url.href)).rejects.toThrow(/refuses the user "nobody_knows"|cannot be used/)
})

test('something that is no PostgreSQL does not hang', async () => {
  const server = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
  const { port } = server.address() as { port: number }
  await expect(untilDatabaseAnswers(`postgresql://u@127.0.0.1:${port}/x`, 0)).rejects.toThrow(DatabaseError)
  server.close()
})
