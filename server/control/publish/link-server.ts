import { chmodSync, chownSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { ClosedError, type FrameSocket, frameSocket, SilenceError } from '../../contract/frame-socket.ts'
import {
  GREETING_MS,
  type HelloMessage,
  helloProblem,
  LINK_PROTOCOL,
  type RefusalMessage,
} from '../../contract/link.ts'
import { OperatorError } from '../../process/operator-error.ts'
import type { Hints } from '../jobs/hints.ts'
import { type OpenBlob, serveBlobs } from './blob-channel.ts'
import { type RecordChannel, type RecordChannelDeps, recordChannel } from './record-channel.ts'
import { serveReports } from './report-channel.ts'
import { readFeed } from './store.ts'
import { type LineTaker, serveTail } from './tail-channel.ts'

/** Connections at one time: four for each edge of this machine, and those that are about to be refused. */
const MAX_CONNECTIONS = 128

/** The socket between the planes cannot be made. `message` says what to do. */
export class LinkError extends OperatorError {
  override name = 'LinkError'
}

/** What the link server needs. */
export type LinkServerOptions = RecordChannelDeps & {
  /** `linkSocketPath(settings)`. */
  readonly socketPath: string
  /** `settings.linkGroup`: this group may connect as well. */
  readonly group: string | null
  readonly hints: Hints
  readonly openBlob: OpenBlob
  readonly tails: LineTaker
}

/** The running server. */
export type LinkServer = {
  /** Stops listening, ends all connections and removes the socket. */
  close(): Promise<void>
}

/**
 * Serves the feed and blobs to edges over the Unix socket. Whoever may open the socket is trusted as
 * an edge, so its mode is 0600 (0660 with a group). Throws `LinkError`.
 */
export async function startLinkServer(options: LinkServerOptions): Promise<LinkServer> {
  const { socketPath, log } = options
  const sockets = new Set<Socket>()
  const channels = new Map<string, { channel: RecordChannel; socket: FrameSocket }>()
  const server = createServer((socket) => {
    if (sockets.size >= MAX_CONNECTIONS) return void socket.destroy()
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    void serve(options, frameSocket(socket), channels)
  })
  await listen(server, socketPath, options.group)
  server.on('error', (error) => log.error({ err: error }, 'the link to the edges had an error'))
  const unsubscribe = options.hints.subscribe('published', () => {
    for (const { channel } of channels.values()) channel.wake()
  })
  return {
    async close() {
      unsubscribe()
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

type Channels = Map<string, { channel: RecordChannel; socket: FrameSocket }>

async function serve(options: LinkServerOptions, socket: FrameSocket, channels: Channels): Promise<void> {
  const { log } = options
  try {
    const hello = await receiveHello(socket)
    if (hello === null) return
    if (hello.channel === 'blobs') await serveBlobChannel(options, socket)
    else if (hello.channel === 'reports') await serveReportChannel(options, socket, hello)
    else if (hello.channel === 'tail') await serveTailChannel(options, socket)
    else await serveRecordChannel(options, socket, hello, channels)
  } catch (error) {
    if (error instanceof ClosedError) return
    log.warn({ err: error }, 'a connection of an edge ended with an error; it will connect again')
    const detail = error instanceof SilenceError ? error.message : 'the control plane cannot go on; connect again'
    await refuse(socket, detail)
  } finally {
    socket.close()
  }
}

/** The first frame, or null when there was none or it was refused. */
async function receiveHello(socket: FrameSocket): Promise<HelloMessage | null> {
  const message = await socket.receive(GREETING_MS).catch(() => undefined)
  if (message === undefined) return null
  const problem = helloProblem(message)
  if (problem === null) return message as HelloMessage
  await refuse(socket, problem)
  return null
}

async function refuse(socket: FrameSocket, detail: string): Promise<void> {
  const refusal: RefusalMessage = { type: 'refusal', detail }
  await socket.send(refusal, GREETING_MS).catch(() => undefined)
}

/** On the channels beside the feed, which have no position of their own. */
async function sendWelcome({ db }: LinkServerOptions, socket: FrameSocket): Promise<void> {
  const { feedId, revision } = await readFeed(db)
  const welcome = { type: 'welcome', protocol: LINK_PROTOCOL, feedId, mode: 'resume', head: revision }
  await socket.send(welcome, GREETING_MS)
}

async function serveBlobChannel(options: LinkServerOptions, socket: FrameSocket): Promise<void> {
  await sendWelcome(options, socket)
  await serveBlobs(options.openBlob, socket)
}

async function serveReportChannel(options: LinkServerOptions, socket: FrameSocket, hello: HelloMessage): Promise<void> {
  await sendWelcome(options, socket)
  await serveReports(options.db, hello.edgeId, socket)
}

async function serveTailChannel(options: LinkServerOptions, socket: FrameSocket): Promise<void> {
  await sendWelcome(options, socket)
  await serveTail(options.tails, socket)
}

async function serveRecordChannel(
  options: LinkServerOptions,
  socket: FrameSocket,
  hello: HelloMessage,
  channels: Channels,
): Promise<void> {
  const { edgeId, name } = hello
  const own = { channel: recordChannel(options, socket, hello), socket }
  // An edge that comes again has lost its old connection, whether or not we have noticed.
  channels.get(edgeId)?.socket.close()
  channels.set(edgeId, own)
  options.log.info({ edgeId, name, revision: hello.revision }, 'an edge has connected')
  try {
    await own.channel.serve()
  } finally {
    if (channels.get(edgeId) === own) channels.delete(edgeId)
    options.log.info({ edgeId, name }, 'an edge has disconnected')
  }
}

async function listen(server: Server, path: string, group: string | null): Promise<void> {
  const gid = group === null ? null : groupId(group)
  mkdirSync(dirname(path), { recursive: true, mode: gid === null ? 0o700 : 0o750 })
  if (await isAnswered(path)) {
    throw new LinkError(`${path}: another control plane serves this socket; stop it, or set NAMEPLATE_LINK_SOCKET`)
  }
  rmSync(path, { force: true })
  // Bound with no right for others, so that there is no moment at which they could connect.
  const mask = process.umask(0o177)
  try {
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, resolve))
    server.removeAllListeners('error')
    if (gid !== null) {
      chownSync(path, process.geteuid?.() ?? 0, gid)
      chmodSync(path, 0o660)
    }
  } catch (cause) {
    throw new LinkError(`${path}: the socket for the listener cannot be made (${(cause as Error).message})`, { cause })
  } finally {
    process.umask(mask)
  }
}

/** Whether somebody accepts connections there; a socket left by kill -9 does not. */
function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    const answer = (isThere: boolean) => (): void => {
      socket.destroy()
      resolve(isThere)
    }
    socket.once('connect', answer(true)).once('error', answer(false))
  })
}

/** The number of a group, from the system's own table: Node has no call for it. */
function groupId(group: string): number {
  const line = readFileSync('/etc/group', 'utf8')
    .split('\n')
    .map((text) => text.split(':'))
    .find(([name]) => name === group)
  const id = Number(line?.[2])
  if (line === undefined || !Number.isInteger(id)) {
    throw new LinkError(`NAMEPLATE_LINK_GROUP: there is no group "${group}" on this machine`)
  }
  return id
}
