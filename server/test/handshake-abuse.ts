import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import net from 'node:net'
import { captureHello } from './captured-hello.ts'
import type { ListenerRig } from './listener-rig.ts'
import type { Random } from './mutations.ts'
import { mutate } from './mutations.ts'

/** The ways in which `abuse` ends or spoils a handshake. */
export const abuses = ['reset', 'half-close', 'reset-in-answer', 'garbage-flight', 'mutated', 'random'] as const

/** One of `abuses`. */
export type Abuse = (typeof abuses)[number]

/** Makes `count` connections, twenty at a time, that each are cut off or go wrong at another byte. */
export async function abuse(rig: ListenerRig, kind: Abuse, count: number, random: Random): Promise<void> {
  const hello = await captureHello({ servername: 'one.example', ALPNProtocols: ['http/1.1'] })
  let begun = 0
  const worker = async (): Promise<void> => {
    for (; begun < count; ) {
      begun += 1
      await one(rig.httpsPort, kind, hello, begun % (hello.length + 1), random)
    }
  }
  await Promise.all(Array.from({ length: 20 }, worker))
}

async function one(port: number, kind: Abuse, hello: Buffer, at: number, random: Random): Promise<void> {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  socket.on('error', () => undefined)
  await once(socket, 'connect').catch(() => undefined)
  if (kind === 'reset') socket.write(hello.subarray(0, at), () => socket.resetAndDestroy())
  else if (kind === 'half-close') socket.end(hello.subarray(0, at))
  else if (kind === 'mutated') socket.end(mutate(hello, random))
  else if (kind === 'random') socket.end(Buffer.from(Array.from({ length: 1 + random(600) }, () => random(256))))
  else {
    socket.write(hello)
    let heard = 0
    socket.on('data', (chunk: Buffer) => {
      heard += chunk.length
      if (kind === 'garbage-flight') socket.end(Buffer.from(Array.from({ length: 1 + random(300) }, () => random(256))))
      else if (heard >= at) socket.resetAndDestroy()
    })
    // An answer shorter than `at` ends the wait by itself.
    socket.setTimeout(200, () => socket.resetAndDestroy())
  }
  socket.resume()
  await closed
}

/** Open descriptors of the rig's one worker. */
export function descriptorsOf(rig: ListenerRig): number {
  return readdirSync(`/proc/${rig.pids()[0]}/fd`).length
}

/** Resident memory of the rig's one worker, in MB. */
export function residentMb(rig: ListenerRig): number {
  const status = readFileSync(`/proc/${rig.pids()[0]}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024
}
