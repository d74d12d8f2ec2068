/**
 * Resolves when this process shall end: a signal, or the process that started it is gone and nobody
 * would start it again. Ask before the first child is started, so that a stop in between leaves none
 * behind.
 */
export function stopRequest(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  for (const event of ['SIGTERM', 'SIGINT', 'SIGHUP', 'disconnect']) process.on(event, () => resolve())
  return promise
}
