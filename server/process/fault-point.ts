import { closeSync, openSync } from 'node:fs'

/** The named steps at which a test may kill a process: between two of them nothing is half done that a restart would not mend. */
export const faultPoints = [
  'order.created',
  'order.answered',
  'order.placed',
  'order.challenge-published',
  'order.challenge-submitted',
  'order.finalized',
  'order.downloaded',
  'revocation.told',
  'account.key-changed',
  'release.stored',
  'release.activated',
  'publish.compiled',
  'publish.sent',
  'apply.written',
  'apply.acked',
  'upgrade.asked',
  'upgrade.listening',
  'upgrade.taken',
  'restore.part',
  'restore.blobs',
  'restore.loaded',
  'rekey.begun',
  'rekey.switched',
  'rekey.batch',
  'rekey.sealed',
  'rekey.replaced',
] as const

/** One of `faultPoints`. */
export type FaultPoint = (typeof faultPoints)[number]

/** `FAULT_POINT=<name>`: die there by SIGKILL, as the power would. Only tests set it. */
const wanted = process.env.FAULT_POINT
/** `FAULT_ONCE=<file>`: only the process that makes this file dies; the next one passes. */
const once = process.env.FAULT_ONCE

/** Dies here when a test asked for it; does nothing otherwise. */
export function faultPoint(name: FaultPoint): void {
  if (wanted === name && isFirst()) process.kill(process.pid, 'SIGKILL')
}

function isFirst(): boolean {
  if (once === undefined) return true
  try {
    closeSync(openSync(once, 'wx'))
    return true
  } catch {
    return false
  }
}
