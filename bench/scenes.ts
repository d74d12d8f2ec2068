import { handshakeClient } from './clients/handshakes.ts'
import { runtimeVersion } from './facts.ts'
import type { Options } from './options.ts'
import { caddy } from './peers/caddy.ts'
import { haproxy } from './peers/haproxy.ts'
import { nameplate } from './peers/nameplate.ts'
import { nginx, startUpstream } from './peers/nginx.ts'
import type { Server, ServerKind } from './peers/server.ts'
import type { SceneName } from './rounds.ts'
import { SCENE_NAMES } from './rows/serving.ts'
import { makeScene, type SceneWish } from './scene.ts'

/** All servers answering one scene, at once: those that are not measured stand idle. */
export type Stage = AsyncDisposable & {
  readonly servers: readonly Server[]
  /** Servers that did not start, and why. */
  readonly problems: readonly string[]
}

const wishes: Readonly<Record<SceneName, Omit<SceneWish, 'names' | 'upstreamPort'>>> = {
  ecdsa: { keyType: 'ecdsa', accessLog: false, hasLargeFile: true },
  rsa: { keyType: 'rsa', accessLog: false, hasLargeFile: false },
  proxy: { keyType: 'ecdsa', accessLog: false, hasLargeFile: false },
  log: { keyType: 'ecdsa', accessLog: true, hasLargeFile: false },
}

/** The kinds of server that a run compares, ours first. */
export function serverKinds({ runtimes }: Pick<Options, 'runtimes'>): ServerKind[] {
  const ours = runtimes.map((runtime) => nameplate(runtime, () => runtimeVersion(runtime)))
  return [...ours, nginx, haproxy, caddy]
}

/** One visit to each name, so that no measurement pays for what is made once (our contexts are built when first needed). */
async function visitAll({ port }: Server): Promise<void> {
  const client = await handshakeClient({ port, names: SCENE_NAMES, count: SCENE_NAMES, sequential: true, seconds: 60 })
  const { operations, failed, note } = await client.run()
  if (failed > 0) throw new Error(`${failed} of ${operations + failed} names were not answered: ${note}`)
}

/** Starts every server on a scene. One that does not start is told in `problems`; the others go on. */
export async function startStage(name: SceneName, kinds: readonly ServerKind[]): Promise<Stage> {
  const scene = await makeScene({ ...wishes[name], names: SCENE_NAMES, upstreamPort: null })
  const upstream = name === 'proxy' ? await startUpstream(scene.webRoot) : null
  const shown = upstream === null ? scene : { ...scene, upstreamPort: upstream.port }
  const all: Server[] = []
  const servers: Server[] = []
  const problems: string[] = []
  for (const kind of kinds) {
    try {
      const server = await kind.start(shown)
      // Known before it is visited, so that it is stopped whatever comes.
      all.push(server)
      await visitAll(server)
      servers.push(server)
    } catch (error) {
      problems.push(`${kind.name} did not start: ${(error as Error).message}`)
    }
  }
  return {
    servers,
    problems,
    async [Symbol.asyncDispose]() {
      await Promise.allSettled(all.map((server) => server.stop()))
      await upstream?.stop()
      scene.remove()
    },
  }
}
