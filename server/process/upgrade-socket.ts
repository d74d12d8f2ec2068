import { once } from 'node:events'
import { chmodSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { type FrameSocket, frameSocket } from '../contract/frame-socket.ts'
import { makeOwnFolder, runSocketPath } from './link-path.ts'
import type { Logger } from './log.ts'
import { OperatorError } from './operator-error.ts'

/** Longer than a successor may take to start, or all workers to drain one after the other. */
const ANSWER_MS = 20 * 60_000
const GREETING_MS = 5_000
const NAME = 'upgrade.sock'

/** What is replaced: the whole data plane, or its worker processes alone. */
export type UpgradeKind = 'listener' | 'workers'

type Request = { readonly type: 'upgrade'; readonly kind: UpgradeKind }
type Answer = { readonly isDone: boolean; readonly text: string }

/** An upgrade that did not happen; what ran before goes on. `message` says why. */
export class UpgradeError extends OperatorError {
  override name = 'UpgradeError'
}

/**
 * Listens for `nameplate upgrade` on a socket that only this user can open. `work` does it and gives a
 * line for the person; what it throws is told. Call it once the listener runs: its lock says that no
 * other parent has this socket. Resolves with how to end it.
 */
export async function serveUpgrades(
  dataDir: string,
  work: (kind: UpgradeKind) => Promise<string>,
  log: Logger,
): Promise<() => Promise<void>> {
  const path = runSocketPath(dataDir, NAME)
  const server = createServer((socket) => {
    answer(frameSocket(socket), work).catch((error: unknown) => log.warn({ err: error }, 'a command was not heard out'))
  })
  await listenAlone(server, path)
  return async () => {
    // A command that waits hears of the end when the process ends.
    server.close()
    server.unref()
  }
}

async function answer(frames: FrameSocket, work: (kind: UpgradeKind) => Promise<string>): Promise<void> {
  try {
    const request = (await frames.receive(GREETING_MS)) as Partial<Request> | undefined
    if (request?.type !== 'upgrade') return
    const kind = request.kind === 'workers' ? 'workers' : 'listener'
    const result: Answer = await work(kind).then(
      (text) => ({ isDone: true, text }),
      (error: Error) => ({ isDone: false, text: error.message }),
    )
    await frames.send(result, GREETING_MS)
    await frames.receive(GREETING_MS)
  } finally {
    frames.close()
  }
}

/** Asks the running installation of a data directory. Resolves with what it says when all is done. Throws `UpgradeError`. */
export async function requestUpgrade(dataDir: string, kind: UpgradeKind): Promise<string> {
  const socket = await connectTo(runSocketPath(dataDir, NAME)).catch((cause: NodeJS.ErrnoException) => {
    const isAbsent = cause.code === 'ENOENT' || cause.code === 'ECONNREFUSED'
    const why = isAbsent ? 'no listener runs on this data directory' : `its listener cannot be asked (${cause.message})`
    throw new UpgradeError(`${dataDir}: ${why}`, { cause })
  })
  const frames = frameSocket(socket)
  try {
    await frames.send({ type: 'upgrade', kind } satisfies Request, GREETING_MS)
    const result = (await frames.receive(ANSWER_MS)) as Answer | undefined
    if (result === undefined) throw new UpgradeError('the running installation has ended meanwhile')
    if (!result.isDone) throw new UpgradeError(`${result.text}; what ran before goes on`)
    return result.text
  } finally {
    frames.close()
  }
}

/** Listens on a path in place of whatever was left there, for this user alone. */
export async function listenAlone(server: ReturnType<typeof createServer>, path: string): Promise<void> {
  makeOwnFolder(dirname(path))
  rmSync(path, { force: true })
  server.listen(path)
  await once(server, 'listening')
  chmodSync(path, 0o600)
}

/** A connected Unix socket. */
export async function connectTo(path: string): Promise<Socket> {
  const socket = connect(path)
  await once(socket, 'connect')
  return socket
}
