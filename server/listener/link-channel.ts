import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { type FrameSocket, frameSocket } from '../contract/frame-socket.ts'
import {
  type ControlMessage,
  GREETING_MS,
  type HelloMessage,
  LINK_PROTOCOL,
  type WelcomeMessage,
} from '../contract/link.ts'
import type { SealKeyPair } from '../contract/sealing.ts'
import type { Position } from './edge-store.ts'

/** Who connects, and where. */
export type ChannelOptions = {
  /** `linkSocketPath(settings)`. */
  readonly socketPath: string
  readonly identity: { readonly edgeId: string; readonly name: string; readonly keyPair: SealKeyPair }
}

/** The control plane does not (or no longer) talk to this edge; `message` says why. */
export class LinkRefusedError extends Error {
  override name = 'LinkRefusedError'
}

/** A connection that was welcomed. */
export type Channel = { readonly frames: FrameSocket; readonly welcome: WelcomeMessage }

/** Opens one of the connections to the control plane. Throws `LinkRefusedError`, or what the socket says. */
export async function openChannel(
  options: ChannelOptions,
  channel: HelloMessage['channel'],
  position: Position,
  signal: AbortSignal,
): Promise<Channel> {
  const { edgeId, name, keyPair } = options.identity
  const socket = await connected(options.socketPath, signal)
  const frames = frameSocket(socket)
  const hello: HelloMessage = {
    type: 'hello',
    protocol: LINK_PROTOCOL,
    channel,
    edgeId,
    name,
    publicKey: keyPair.publicKey.toString('base64'),
    ...position,
  }
  try {
    await frames.send(hello, GREETING_MS)
    const answer = (await frames.receive(GREETING_MS)) as ControlMessage | undefined
    if (answer?.type === 'refusal') throw new LinkRefusedError(answer.detail)
    if (answer?.type !== 'welcome' || answer.protocol !== LINK_PROTOCOL)
      throw new LinkRefusedError('the control plane gave no welcome that this version knows')
    return { frames, welcome: answer }
  } catch (error) {
    frames.close()
    throw error
  }
}

async function connected(path: string, signal: AbortSignal): Promise<Socket> {
  const socket = connect({ path, signal })
  try {
    await once(socket, 'connect', { signal: AbortSignal.any([signal, AbortSignal.timeout(GREETING_MS)]) })
    return socket
  } catch (error) {
    socket.on('error', () => undefined).destroy()
    throw error
  }
}
