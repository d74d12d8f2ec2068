import { histogramSamples } from '../../process/metrics-histogram.ts'
import type { MetricFamily } from '../../process/metrics-text.ts'
import type { Db } from '../db.ts'

const DAY = 86_400
/** Upper bounds of what is left of a certificate, in seconds: from expired to more than a year. */
const EXPIRY_SECONDS = [0, DAY / 24, DAY / 4, DAY, 3 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 60 * DAY, 90 * DAY, 200 * DAY]
/** Less of its lifetime left is an alarm: renewal should have come at a third, or at half of a short one. */
const LOW_SHARE = 0.2

type ExpiryRow = { bucket: number; certificates: number; seconds: number; low: number; least: number }

/** What is served now: seconds to expiry as a histogram of the moment, and the alarm. One grouped query over active certificates. */
export async function servedFamilies(db: Db): Promise<MetricFamily[]> {
  const rows = await db.$queryRaw<ExpiryRow[]>`
    select width_bucket(left_seconds, ${EXPIRY_SECONDS.map((bound) => bound + 1e-6)}::float8[])::int as bucket,
        count(*)::float8 as certificates, sum(left_seconds)::float8 as seconds,
        (count(*) filter (where share < ${LOW_SHARE}))::float8 as low, min(share)::float8 as least
      from (
        select extract(epoch from v.not_after - now())::float8 as left_seconds,
            (extract(epoch from v.not_after - now()) / greatest(extract(epoch from v.not_after - v.not_before), 1))::float8 as share
          from certificate c join certificate_version v on v.id = c.active_version_id
         where c.state not in ('retired', 'revoked')
           and exists (select from hostname h where h.certificate_id = c.id)) served
     group by 1`
  const counts = EXPIRY_SECONDS.map((_, at) => rows.find(({ bucket }) => bucket === at)?.certificates ?? 0)
  const total = (of: (row: ExpiryRow) => number): number => rows.reduce((sum, row) => sum + of(row), 0)
  const count = total((row) => row.certificates)
  const gauge = (name: string, help: string, value: number): MetricFamily => ({
    name: `nameplate_served_certificate${name}`,
    help,
    type: 'gauge',
    samples: [{ value }],
  })
  return [
    {
      name: 'nameplate_served_certificate_expiry_seconds',
      help: 'Seconds until served certificates expire, as a histogram of this moment: its counts fall as well.',
      type: 'histogram',
      samples: histogramSamples({ bounds: EXPIRY_SECONDS, counts, sum: total((row) => row.seconds), count }),
    },
    gauge(
      's_low',
      'Served certificates with less than a fifth of their lifetime left: an alarm.',
      total((row) => row.low),
    ),
    gauge(
      '_least_lifetime_left_ratio',
      'The least share of its lifetime that a served certificate has left; 1 when there is none.',
      rows.reduce((least, row) => Math.min(least, row.least), 1),
    ),
  ]
}

type CountRow = { metric: string; a: string; b: string; value: number }

/** Rows by state and issuer, mails and probes: one grouped query each. */
export async function countedFamilies(db: Db): Promise<MetricFamily[]> {
  const rows = await db.$queryRaw<CountRow[]>`
    select 'certificates' metric, c.state::text a, coalesce(i.name, '') b, c.value from
      (select state, issuer_id, count(*)::float8 value from certificate group by 1, 2) c left join issuer i on i.id = c.issuer_id
    union all select 'orders', o.state, coalesce(i.name, ''), o.value from
      (select case when state = 'invalid' then coalesce(problem ->> 'code', 'invalid') else state::text end state,
        issuer_id, count(*)::float8 value from "order" group by 1, 2) o left join issuer i on i.id = o.issuer_id
    union all select 'mails', case when sent_at is not null then 'sent' when given_up_at is not null then 'given-up'
        when attempts > 0 then 'retrying' else 'waiting' end, '', count(*)::float8 from mail_message group by 2
    union all select 'probes', state::text, '', count(*)::float8 from probe_result group by 2`
  const family = (metric: string, name: string, help: string, labels: readonly string[]): MetricFamily => ({
    name: `nameplate_${name}`,
    help,
    type: 'gauge',
    samples: rows
      .filter((row) => row.metric === metric)
      .map(({ a, b, value }) => ({
        labels: Object.fromEntries(labels.map((label, at) => [label, at === 0 ? a : b])),
        value,
      })),
  })
  return [
    family('certificates', 'certificates', 'Certificates by state and issuer.', ['state', 'issuer']),
    family('orders', 'orders', 'Orders that are kept, by result (a state, or why it failed) and issuer.', [
      'state',
      'issuer',
    ]),
    family('mails', 'mails', 'Mails that are kept, by state.', ['state']),
    family('probes', 'probes', 'Hostnames by what was seen from outside.', ['state']),
  ]
}

type AgeRow = { queue: string; seconds: number | null }

/** How long the oldest due work has waited: a look at one end of an index each. */
export async function ageFamilies(db: Db): Promise<MetricFamily[]> {
  const rows = await db.$queryRaw<AgeRow[]>`
    select 'certificates' queue, extract(epoch from now() - min(due_at))::float8 seconds from
      (select due_at from certificate where due_at <= now() and (lease_expires_at is null or lease_expires_at < now())
        order by due_at limit 1) c
    union all select 'mail', extract(epoch from now() - min(due_at))::float8 from
      (select due_at from mail_message where due_at <= now() and (lease_expires_at is null or lease_expires_at < now())
        order by due_at limit 1) m
    union all select 'notices', extract(epoch from now() - min(due_at))::float8 from
      (select due_at from certificate_watch where due_at <= now() and due_at > to_timestamp(0) order by due_at limit 1) w
    union all select 'probe', extract(epoch from now() - min(due_at))::float8 from
      (select due_at from probe_result where due_at <= now() order by due_at limit 1) p`
  return [
    {
      name: 'nameplate_oldest_due_seconds',
      help: 'How long the oldest due work of a queue has waited; 0 when nothing is due.',
      type: 'gauge',
      samples: rows.map(({ queue, seconds }) => ({ labels: { queue }, value: Math.max(0, seconds ?? 0) })),
    },
  ]
}
