/** Longest wait for a complete request head on a new connection; bytes do not re-arm it. */
export const HEAD_MS = 15_000
/** From the end of one answer to the complete head of the next request. */
export const IDLE_MS = 30_000
/** What an HTTP/2 connection gets to close by itself after GOAWAY, and a refused client to read why. */
export const FAREWELL_MS = 2_000
/** A piece of an answer may take this long, and a millisecond more for each `STALL_BYTES_PER_MS` bytes. */
export const STALL_MS = 30_000
export const STALL_BYTES_PER_MS = 4
/** Longest gap in a request body; on average it brings `BODY_BYTES_PER_MS` after the first gap. */
export const BODY_GAP_MS = 30_000
export const BODY_BYTES_PER_MS = 0.5
/** A request body as a whole. */
export const BODY_TOTAL_MS = 3_600_000
export const MAX_BODY_BYTES = 4 * 1024 ** 3
/** Between two pieces of an upstream's answer; what comes before is `ProxyOptions`. */
export const UPSTREAM_GAP_MS = 300_000
/** Upstream connections that are tried for one request, stale kept-alive ones included. */
export const MAX_UPSTREAM_TRIES = 4
/** A request that passed our edges so often is in a loop; a few in a row may be meant. */
export const MAX_TIMES_PASSED = 4
/** An upgraded connection on which neither side says anything. */
export const TUNNEL_IDLE_MS = 600_000
/** Idle upstream connection; below what common servers keep, so that we are the one to close. */
export const UPSTREAM_IDLE_MS = 4_000

/** Request line and header fields together, HTTP/1.1 and HTTP/2 alike; more is 431. */
export const MAX_HEAD_BYTES = 16 * 1024
export const MAX_HEADER_FIELDS = 128
/** Response head of an upstream. */
export const MAX_UPSTREAM_HEAD_BYTES = 64 * 1024
/** Requests that one HTTP/1.1 client may send ahead of their answers. */
export const MAX_PIPELINED = 32
/** Streams of one HTTP/2 connection at a time (RFC 9113 section 6.5.2 advises 100 or more). */
export const MAX_STREAMS = 128
/** Resets by the client: a burst, and then so many a second (CVE-2023-44487). */
export const RESET_BURST = 500
export const RESETS_PER_SECOND = 50
/** What an HTTP/2 client may send ahead, on one stream and on the connection: 5 MB/s at 50 ms. */
export const UPLOAD_WINDOW_BYTES = 256 * 1024
/** Upstream connections of one site in one worker, and those of them that wait for a request. */
export const MAX_UPSTREAM_SOCKETS = 256
export const MAX_IDLE_UPSTREAM_SOCKETS = 64

/** Files up to this size are answered from memory, larger ones are read in pieces. */
export const MAX_CACHED_FILE_BYTES = 1024 * 1024
export const FILE_CACHE_BYTES = 64 * 1024 * 1024
export const FILE_PIECE_BYTES = 256 * 1024
/** Large files that are open for one connection, with two pieces each: 4 MiB, whatever number of streams asks. */
export const MAX_OPEN_DOWNLOADS = 8
/** Downloads of one site in one worker above which their pieces get smaller. */
export const MANY_DOWNLOADS = 32
export const SMALL_PIECE_BYTES = 64 * 1024
/** Bodies up to this are sent with their head in one write. */
export const MAX_WHOLE_BODY_BYTES = 64 * 1024
/** Answers that are ready to be sent, heads included. */
export const FAST_CACHE_BYTES = 48 * 1024 * 1024
export const MANIFEST_CACHE_BYTES = 64 * 1024 * 1024
/** Records, as long as they are as JSON, and the same again for what is made of them. */
export const RECORD_CACHE_BYTES = 16 * 1024 * 1024

/** Passwords of basic authentication: hashes computed at once, waiting tries, remembered successes. */
export const PASSWORD_JOBS = 2
export const MAX_WAITING_PASSWORDS = 32
export const PASSWORD_CACHE_ENTRIES = 10_000
/** Wrong passwords of one client address at one site: a burst, then one more in so many milliseconds. */
export const WRONG_PASSWORD_BURST = 10
export const WRONG_PASSWORD_EVERY_MS = 6_000

/** Ranges of one request that are answered one by one (RFC 9110 section 14.2 lets a server ignore many). */
export const MAX_RANGES = 8
