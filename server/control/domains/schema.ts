import { type Static, Type } from 'typebox'
import { Id, ListOf, ListQuery, Time } from '../schema.ts'

/** Where the ownership of a name or domain stands. */
export const OwnershipState = Type.Union(
  [
    Type.Literal('pending'),
    Type.Literal('verified'),
    Type.Literal('lapsed'),
    Type.Literal('disputed'),
    Type.Literal('released'),
  ],
  {
    description:
      'pending: no proof seen yet; verified: proven, and served; lapsed: the proof is gone, the name is kept until somebody else proves it; disputed: proven, but another tenant holds the name; released: somebody else has proven a lapsed name.',
  },
)

/** One way to prove a name; any one of the list is enough. */
const Instruction = Type.Object({
  type: Type.Union([Type.Literal('TXT'), Type.Literal('HTTP')]),
  name: Type.String({ description: 'TXT: the full name of the DNS record. HTTP: the URL that must answer.' }),
  value: Type.String({ description: 'The exact value of the record, or the exact body of the answer.' }),
  proves: Type.String({ description: 'What is proven by it, for people.' }),
})

/** One way to prove a name. */
export type Instruction = Static<typeof Instruction>

const CheckProblem = Type.Object({
  code: Type.String(),
  detail: Type.String({ description: 'What was found instead, and what to do.' }),
})

/** Why something is not as it should be, and what to do. */
export type CheckProblem = Static<typeof CheckProblem>

const Ownership = Type.Object({
  state: OwnershipState,
  instructions: Type.Array(Instruction),
  verifiedAt: Type.Optional(Time),
  checkedAt: Type.Optional(Time),
  nextCheckAt: Type.Optional(Time),
  problem: Type.Optional(CheckProblem),
})

const HostnameCertificate = Type.Object({
  state: Type.Union([
    Type.Literal('wanted'),
    Type.Literal('ordering'),
    Type.Literal('valid'),
    Type.Literal('renewing'),
    Type.Literal('failing'),
    Type.Literal('paused'),
    Type.Literal('expired'),
    Type.Literal('revoked'),
    Type.Literal('retired'),
  ]),
  id: Type.Optional(Id),
  notAfter: Type.Optional(Time),
  problem: Type.Optional(CheckProblem),
})

const Probe = Type.Object(
  {
    state: Type.Union([
      Type.Literal('waiting'),
      Type.Literal('ok'),
      Type.Literal('suspect', { description: 'Not as it should be, once; looked at again in a minute.' }),
      Type.Literal('failed', { description: 'Not as it should be, twice in a row.' }),
      Type.Literal('skipped', { description: 'Could not be looked at.' }),
    ]),
    at: Type.Optional(Time),
    servedFingerprint: Type.Optional(Type.String({ description: 'Of the certificate that was seen, SHA-256.' })),
    detail: Type.Optional(Type.String()),
  },
  { description: 'What a client saw last that connected to the public address.' },
)

/** A name that is served, as the API shows it. */
export const HostnameView = Type.Object({
  id: Id,
  tenantId: Id,
  name: Type.String({ description: 'ASCII, lower case; `*.` first when it is a wildcard.' }),
  unicodeName: Type.String(),
  siteId: Id,
  domainId: Id,
  ownership: Ownership,
  certificate: HostnameCertificate,
  live: Type.Boolean({
    description: 'Every live edge serves this name with this certificate and has confirmed it.',
  }),
  probe: Type.Optional(Probe),
  createdAt: Time,
  updatedAt: Time,
})

/** A hostname as the API shows it. */
export type HostnameView = Static<typeof HostnameView>

/** Body of `POST /hostnames`. */
export const HostnameCreate = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 1_024, description: 'Unicode or ASCII; `*.` first for a wildcard.' }),
    siteId: Id,
    tenantId: Type.Optional(Id),
    ownership: Type.Optional(
      Type.Literal('trusted', { description: 'Skip the proof. Only for platform administrators.' }),
    ),
  },
  { additionalProperties: false },
)

/** Body of `POST /hostnames`. */
export type HostnameCreate = Static<typeof HostnameCreate>

/** Body of `PATCH /hostnames/{id}`. */
export const HostnameUpdate = Type.Object({ siteId: Type.Optional(Id) }, { additionalProperties: false })

/** Body of `PATCH /hostnames/{id}`. */
export type HostnameUpdate = Static<typeof HostnameUpdate>

/** Query of `GET /hostnames`. */
export const HostnameQuery = Type.Object({
  ...ListQuery.properties,
  tenantId: Type.Optional(Id),
  siteId: Type.Optional(Id),
  domainId: Type.Optional(Id),
  state: Type.Optional(OwnershipState),
  q: Type.Optional(Type.String({ maxLength: 253, description: 'A part of the name.' })),
})

/** Query of `GET /hostnames`. */
export type HostnameQuery = Static<typeof HostnameQuery>

/** Answer of `GET /hostnames`. */
export const HostnameList = ListOf(HostnameView)

const DiagnosisCheck = Type.Object({
  code: Type.String({
    description: 'OWNERSHIP, CERTIFICATE, LIVE, PROBE, or a code of docs/doctor.md. New codes may come.',
  }),
  status: Type.Union([
    Type.Literal('ok'),
    Type.Literal('waiting'),
    Type.Literal('problem'),
    Type.Literal('warning', { description: 'Works, or may work, but should be known.' }),
    Type.Literal('unknown', { description: 'Could not be looked at.' }),
  ]),
  detail: Type.String(),
  fix: Type.Optional(Type.String()),
})

/** One step between a hostname and its visitors. */
export type DiagnosisCheck = Static<typeof DiagnosisCheck>

/** Answer of `GET /hostnames/{id}/diagnosis`. */
export const Diagnosis = Type.Object({
  ok: Type.Boolean({ description: 'Nothing is a problem and nothing is waited for.' }),
  checks: Type.Array(DiagnosisCheck),
})

/** Answer of `GET /hostnames/{id}/diagnosis`. */
export type Diagnosis = Static<typeof Diagnosis>

/** Evidence that was seen. */
const ProofView = Type.Object({
  name: Type.String(),
  method: Type.Union([Type.Literal('txt'), Type.Literal('http'), Type.Literal('trusted')]),
  verifiedAt: Time,
  checkedAt: Time,
  lapsedAt: Type.Optional(Time),
})

/** A registrable domain as a tenant claims it. */
export const DomainView = Type.Object({
  id: Id,
  tenantId: Id,
  name: Type.String(),
  unicodeName: Type.String(),
  state: OwnershipState,
  proofs: Type.Array(ProofView),
  instructions: Type.Array(Instruction),
  hostnames: Type.Integer({ description: 'How many hostnames are under it.' }),
  createdAt: Time,
  updatedAt: Time,
})

/** A domain as the API shows it. */
export type DomainView = Static<typeof DomainView>

/** Body of `POST /domains`: any name; the domain is its registrable part. */
export const DomainCreate = Type.Object(
  { name: Type.String({ minLength: 1, maxLength: 1_024 }), tenantId: Type.Optional(Id) },
  { additionalProperties: false },
)

/** Body of `POST /domains`. */
export type DomainCreate = Static<typeof DomainCreate>

/** Query of `GET /domains`. */
export const DomainQuery = Type.Object({
  ...ListQuery.properties,
  tenantId: Type.Optional(Id),
  q: Type.Optional(Type.String({ maxLength: 253 })),
})

/** Query of `GET /domains`. */
export type DomainQuery = Static<typeof DomainQuery>

/** Answer of `GET /domains`. */
export const DomainList = ListOf(DomainView)
