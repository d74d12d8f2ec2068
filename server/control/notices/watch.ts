import { type Db, write } from '../db.ts'
import { recordEvents } from '../events/record.ts'
import { type NoticeKind, type NoticePlan, planNotices } from './plan.ts'
import { type DueWatch, insertNotices, type NewNotice, saveWatches, takeDueWatches, withdrawNotices } from './store.ts'
import type { UsualWaitMs } from './worth.ts'

/** Certificates of one transaction: short, since changes of these wait for it. */
const BATCH = 100

/**
 * Looks at the certificates that are due and notes what somebody is to be told, until none is left or `signal`
 * aborts. What was noted and what is remembered of it are one transaction.
 */
export async function lookAtCertificates(
  db: Db,
  now: () => Date,
  usualWaitMs: UsualWaitMs,
  signal?: AbortSignal,
): Promise<void> {
  for (let batch = BATCH; batch === BATCH && signal?.aborted !== true; )
    batch = await write(db, {}, async (tx) => {
      const at = now()
      const due = await takeDueWatches(tx, at, BATCH)
      if (due.length === 0) return 0
      const planned = due.map((watch) => ({ watch, plan: planNotices(watch, at, usualWaitMs) }))
      await withdrawNotices(
        tx,
        planned.filter(({ plan }) => plan.withdraw).map(({ watch }) => watch.id),
      )
      await insertNotices(
        tx,
        planned.flatMap(({ watch, plan }) => noticeOf(watch, plan, at)),
      )
      await recordEvents(
        tx,
        planned.flatMap(({ watch, plan }) => eventOf(watch, plan)),
      )
      await saveWatches(
        tx,
        planned.map(({ watch, plan }) => ({ ...plan, id: watch.id })),
      )
      return due.length
    })
}

function noticeOf(watch: DueWatch, { add }: NoticePlan, createdAt: Date): NewNotice[] {
  if (add === null) return []
  const { id, tenantId, names, lostNames, reason, active } = watch
  return [
    {
      tenantId,
      certificateId: id,
      subject: (add === 'retired' ? lostNames : names).join(', '),
      kind: add,
      reason: add === 'recovered' ? null : reason,
      notAfter: add === 'retired' ? null : (active?.notAfter ?? null),
      createdAt,
    },
  ]
}

/** What the manager of certificates does not tell itself: that time runs out. */
function eventOf({ id, tenantId, names, active }: DueWatch, { add }: NoticePlan) {
  if (add === null || active === null || !isOfTime(add)) return []
  return [
    {
      actor: 'system',
      tenantId,
      action: add === 'expired' ? 'certificate.expired' : 'certificate.expiring',
      subjectId: id,
      subjectName: names[0] ?? '',
      detail: { names: [...names], notAfter: active.notAfter.toISOString(), notice: add },
    },
  ]
}

function isOfTime(kind: NoticeKind): boolean {
  return kind === 'expired' || kind.startsWith('attempts-') || kind.startsWith('expires-')
}
