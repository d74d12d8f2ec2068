import { htmlText } from '../mail/rules.ts'

/** Names of one group that a mail lists; the rest is counted. */
const MAX_LISTED = 500
const MAX_REASON_LENGTH = 600

/** A notice as a mail tells of it. */
export type ToldNotice = {
  readonly kind: string
  /** A name, several names, or an issuer. */
  readonly subject: string
  readonly certificateId: string | null
  readonly reason: string | null
  readonly notAfter: Date | null
}

/** The texts of a mail. */
export type ComposedMail = { readonly subject: string; readonly text: string; readonly html: string }

type Kind = { readonly title: string; readonly what: string; readonly isNews?: boolean }

/** In the order in which a mail tells of them: what is most urgent first. */
const kinds: Readonly<Record<string, Kind>> = {
  expired: {
    title: 'The certificate has expired',
    what: 'Visitors see a warning now. We go on trying; please mend what is said below.',
  },
  'attempts-1': {
    title: 'One attempt is left before the certificate expires',
    what: 'Please mend what is said below now, then press "Check now" on the page of the name.',
  },
  'attempts-3': {
    title: 'Three attempts are left before the certificate expires',
    what: 'Please mend what is said below soon. The present certificate goes on until then.',
  },
  'attempts-7': {
    title: 'The certificate is not renewed yet',
    what: 'About seven attempts are left before it expires. The present certificate goes on until then.',
  },
  'expires-1': {
    title: 'An uploaded certificate expires very soon',
    what: 'Please upload its successor now: we cannot renew what was uploaded.',
  },
  'expires-3': {
    title: 'An uploaded certificate expires soon',
    what: 'Please upload its successor: we cannot renew what was uploaded.',
  },
  'expires-7': {
    title: 'An uploaded certificate expires soon',
    what: 'Please upload its successor: we cannot renew what was uploaded.',
  },
  'expires-21': {
    title: 'An uploaded certificate is going to expire',
    what: 'It is a good time to get its successor and upload it: we cannot renew what was uploaded.',
  },
  failing: {
    title: 'There is no certificate yet',
    what: 'It is tried again by itself; it works as soon as what is said below is mended.',
  },
  retired: {
    title: 'No certificate is kept for this name any more',
    what: 'The name does not lead here any more, or is not proven. When it is again, a certificate comes by itself.',
  },
  'platform-failing': { title: 'Certificates cannot be issued', what: 'This needs an administrator.' },
  recovered: { title: 'The certificate is fine again', what: 'Nothing is to be done.', isNews: true },
  'platform-recovered': { title: 'Fine again', what: 'Nothing is to be done.', isNews: true },
}
const order = Object.keys(kinds)

/** What a mail needs besides its notices. `panelUrl` null: the panel has no public name, so there are no links. */
export type ComposeContext = { readonly tenantName: string; readonly panelUrl: string | null }

/**
 * One mail for all these notices (at least one): by kind and reason, the most urgent first. Pure. Everything in it
 * is escaped where it is shown; what becomes the subject line is cleaned when it is sent.
 */
export function composeMail(notices: readonly ToldNotice[], { tenantName, panelUrl }: ComposeContext): ComposedMail {
  const groups = groupsOf(notices)
  const link = panelUrl === null ? null : linkOf(notices, panelUrl)
  const intro = tenantName === '' ? 'Hello,' : `Hello,\n\nthis is about the names of "${tenantName}".`
  const text = [
    intro,
    ...groups.map(groupText),
    ...(link === null ? [] : [`All of it: ${link}`]),
    'Your Nameplate',
  ].join('\n\n')
  const html = [
    ...intro.split('\n\n').map((line) => `<p>${htmlText(line)}</p>`),
    ...groups.map(groupHtml),
    ...(link === null ? [] : [`<p><a href="${htmlText(link)}">See all of it in the panel</a></p>`]),
    '<p>Your Nameplate</p>',
  ].join('\n')
  return { subject: subjectOf(groups, notices), text: `${text}\n`, html: `${html}\n` }
}

type Group = { readonly kind: Kind; readonly reason: string | null; readonly items: readonly ToldNotice[] }

/** Notices of one kind whose reasons differ in nothing but the name are one group, with the first as the example. */
function groupsOf(notices: readonly ToldNotice[]): Group[] {
  const groups = new Map<string, ToldNotice[]>()
  const sorted = [...notices].sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind))
  for (const notice of sorted) {
    const likeness = (notice.reason ?? '').replaceAll(notice.subject, '…')
    const key = `${notice.kind}\n${likeness}`
    groups.set(key, [...(groups.get(key) ?? []), notice])
  }
  return [...groups.values()].map((items) => ({
    items,
    kind: kinds[items[0]?.kind ?? ''] ?? { title: 'Something has changed', what: '' },
    reason: items[0]?.reason?.slice(0, MAX_REASON_LENGTH) ?? null,
  }))
}

function titleOf({ kind, items }: Group): string {
  return items.length === 1 ? kind.title : `${kind.title} (${items.length} names)`
}

function lineOf({ subject, notAfter }: ToldNotice): string {
  return notAfter === null ? subject : `${subject} (until ${notAfter.toISOString().slice(0, 16).replace('T', ' ')} UTC)`
}

function linesOf({ items }: Group): string[] {
  const shown = items.slice(0, MAX_LISTED).map(lineOf)
  return items.length > MAX_LISTED ? [...shown, `and ${items.length - MAX_LISTED} more`] : shown
}

function groupText(group: Group): string {
  const reason = group.reason === null ? [] : [reasonOf(group)]
  return [titleOf(group), ...linesOf(group).map((line) => `  - ${line}`), ...reason, group.kind.what].join('\n')
}

function groupHtml(group: Group): string {
  const items = linesOf(group).map((line) => `<li>${htmlText(line)}</li>`)
  const reason = group.reason === null ? '' : `<p>${htmlText(reasonOf(group))}</p>`
  return `<h3>${htmlText(titleOf(group))}</h3>\n<ul>${items.join('')}</ul>\n${reason}<p>${htmlText(group.kind.what)}</p>`
}

function reasonOf({ reason, items }: Group): string {
  return items.length === 1 ? `What happened: ${reason}` : `What happened, for example: ${reason}`
}

function subjectOf([first]: readonly Group[], notices: readonly ToldNotice[]): string {
  const [only, ...others] = notices
  if (first === undefined || only === undefined) return 'Nothing has happened'
  if (others.length === 0) return `${first.kind.title}: ${only.subject}`
  const isNews = notices.every(({ kind }) => kinds[kind]?.isNews === true)
  return isNews ? `Fine again: ${notices.length} names` : `${notices.length} names need a look`
}

function linkOf(notices: readonly ToldNotice[], panelUrl: string): string {
  const [only, ...others] = notices
  if (only !== undefined && only.certificateId === null) return `${panelUrl}/admin/issuers`
  return others.length === 0 && only !== undefined
    ? `${panelUrl}/certificates/${only.certificateId}`
    : `${panelUrl}/certificates`
}
