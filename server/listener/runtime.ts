import type { Socket } from 'node:net'

/** What differs between the two runtimes of a worker. Nothing else may branch on the runtime. */

const isBun = process.versions.bun !== undefined

/** Name and version, as the status of an edge shows it: `bun 1.4.5`, `node 26.10.0`. */
export const runtimeLabel = isBun ? `bun ${process.versions.bun}` : `node ${process.versions.node}`

/**
 * Whether `ticketKeys` of a context is used. Bun takes and ignores it (oven-sh/bun 14604): there each context
 * keeps a random key of its own, which BoringSSL changes every 48 h.
 */
export const honoursTicketKeys = !isBun

/** Whether suites with 3DES can be named: OpenSSL of Node is built without them. */
export const hasTripleDes = isBun

/** Turns a list of ciphers into one that works below TLS 1.2: OpenSSL asks for its lowest level of security, BoringSSL refuses the word. */
export function legacyCipherList(names: readonly string[]): string {
  return [...names, ...(isBun ? [] : ['@SECLEVEL=0'])].join(':')
}

/** What a TLS context takes, in bytes (measured): with one pair, for a second pair, for each further certificate of a chain. */
export const contextBytes = isBun
  ? { first: 10 * 1024, second: 4 * 1024, chained: 4 * 1024 }
  : { first: 30 * 1024, second: 6 * 1024, chained: 10 * 1024 }

/**
 * What all contexts of a worker may take, in bytes: with all else it stays below 200 MB. In Bun that is 5,000 hot
 * sites and more; in Node 2,500 with a chain each, the others are built again when they are asked for.
 */
export const contextsBudgetBytes = isBun ? 80 * 1024 * 1024 : 96 * 1024 * 1024

/**
 * Whether HTTP/2 streams are served that cross on the wire a GOAWAY whose last stream is far above theirs. Node's
 * nghttp2 drops them without a word, until another GOAWAY names the last one that it has seen.
 */
export const servesAfterGoaway = isBun

/** Whether accepted sockets have TCP_NODELAY from the runtime: Bun sets it on each, and once more where it is asked to. */
export const acceptsWithoutDelay = isBun

/**
 * Address of the other end of a socket; empty when it is gone. Bun's `remoteAddress` asks the system three times, for
 * family, address and port; its handle, which has no documentation, for the address alone.
 */
export function peerAddress(socket: Socket): string {
  const address = isBun ? (socket as { _handle?: { remoteAddress?: unknown } })._handle?.remoteAddress : undefined
  return (typeof address === 'string' ? address : socket.remoteAddress) ?? ''
}
