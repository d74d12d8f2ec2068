import { StringDecoder } from 'node:string_decoder'
import type { RecordKind } from '../contract/records.ts'
import type { LogLevel } from './worker-log.ts'

/** An address to bind, as the supervisor has found it possible. */
export type Bind = {
  readonly address: string
  readonly port: number
  /** Of `::`, so that `0.0.0.0` can be bound beside it and IPv4 addresses keep their plain form. */
  readonly ipv6Only: boolean
}

/** First line that a worker reads: everything that it needs. Keys travel in it and nowhere else. */
export type StartMessage = {
  readonly type: 'start'
  readonly edgeFolder: string
  readonly blobsFolder: string
  /** X25519, base64: opens what was sealed to this edge. */
  readonly publicKey: string
  readonly privateKey: string
  /** Of the supervisor: a greater one in the edge folder means that a successor has taken over. */
  readonly generation: number
  readonly https: readonly Bind[]
  readonly http: readonly Bind[]
  readonly outboundAllow: readonly string[]
  /** CIDRs of load balancers that say by the PROXY protocol for whom they connect; default none. */
  readonly proxyProtocolFrom?: readonly string[]
  readonly logLevel: LogLevel
  /** For the proof that sessions stay within their site; self-signed, nobody is shown it. */
  readonly proofCertificate: { readonly chainPem: string; readonly keyPem: string }
}

/** What a supervisor says to a worker, one JSON text a line. */
export type WorkerCommand =
  | StartMessage
  | { readonly type: 'invalidate'; readonly id: number; readonly keys: readonly { kind: RecordKind; key: string }[] }
  | { readonly type: 'drain' }

/**
 * What the cache of TLS contexts did since the worker's start. A handshake that waits for its turn to build asks twice:
 * a miss, and then a miss or a hit. `evictions` are of room alone; what a changed record drops is none.
 */
export type ContextUse = {
  readonly hits: number
  readonly misses: number
  readonly builds: number
  readonly evictions: number
}

/** Counters of a worker since its start, and the connections that it holds now. */
export type WorkerCounters = {
  readonly connections: number
  readonly handshakes: number
  readonly refused: number
  readonly contexts: number
  readonly contextBytes?: number
  readonly residentBytes?: number
  /** Longest delay of the event loop since the report before. */
  readonly loopDelayMs?: number
  readonly refusedBy?: Readonly<Record<string, number>>
  /** Finished handshakes by kind (`observe/handshake-counts.ts`). */
  readonly handshakeKinds?: Readonly<Record<string, number>>
  readonly contextUse?: ContextUse
}

/** What a worker says to its supervisor, one JSON text a line. */
export type WorkerReport =
  | { readonly type: 'listening'; readonly runtime: string }
  | { readonly type: 'failed'; readonly message: string }
  | { readonly type: 'done'; readonly id: number }
  /** The records cannot be read: their file is damaged. */
  | { readonly type: 'store-damage' }
  /** A blob of a site is missing or damaged on disk. */
  | { readonly type: 'blob-fault'; readonly digest: string; readonly kind: 'manifest' | 'file' }
  | { readonly type: 'status'; readonly counters: WorkerCounters }

/** Longest line: a batch of keys is far below it. */
const MAX_LINE_CHARS = 16 * 1024 * 1024

/** Cuts a stream of bytes into lines. A line that is too long ends the reading by `RangeError`. */
export function lineReader(onLine: (line: string) => void): (chunk: Buffer) => void {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  return (chunk) => {
    const lines = (rest + decoder.write(chunk)).split('\n')
    rest = lines.pop() ?? ''
    if (rest.length > MAX_LINE_CHARS) throw new RangeError('a message between supervisor and worker is too long')
    for (const line of lines) if (line !== '') onLine(line)
  }
}
