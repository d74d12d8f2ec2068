import type { FastifyInstance } from 'fastify'
import { type Settings, SettingsError } from '../../process/settings.ts'

/** Makes the API listen where the settings say. Throws `SettingsError` when that cannot be. */
export async function listen(app: FastifyInstance, { address, port }: Settings['apiListen']): Promise<void> {
  try {
    await app.listen({ host: address ?? '::', port })
  } catch (error) {
    const at = `${address ?? 'every address'}, port ${port}`
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EADDRINUSE')
      throw new SettingsError(
        `NAMEPLATE_API_LISTEN: ${at} is in use by another program: stop it, or choose another port`,
      )
    if (code === 'EADDRNOTAVAIL')
      throw new SettingsError(`NAMEPLATE_API_LISTEN: this machine has no address ${address}`)
    if (code === 'EACCES')
      throw new SettingsError(`NAMEPLATE_API_LISTEN: ${at} is not permitted to this user: choose a port above 1023`)
    throw error
  }
}

/** The URL at which a process of this machine reaches the API. */
export function localUrl({ address, port }: Settings['apiListen']): string {
  const isEvery = address === null || address === '0.0.0.0' || address === '::'
  const host = isEvery ? '127.0.0.1' : address.includes(':') ? `[${address}]` : address
  return `http://${host}:${port}`
}
