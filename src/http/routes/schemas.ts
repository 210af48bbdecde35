/** What the routes answer with, for their documents and for `openapi.json`. */
import { z } from 'zod';
import { isSegment, REFERENCE } from '../../core/client.ts';
import { DRIFT_KINDS } from '../../core/drift.ts';
import { ROTATION_STATES } from '../../core/history.ts';
import { CLIENT_STATES } from '../../core/state.ts';
import type { DriftView } from '../../status/client/drift.ts';
import type { ExposureStatus } from '../../status/client/exposure.ts';
import type { ClientStatus } from '../../status/model.ts';

const segment = z
  .string()
  .refine(isSegment, 'must be letters, digits, "_", "-", "." or "~"')
  .meta({ pattern: '^[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,127}$' });

export const clientPath = z.strictObject({
  deployment: segment,
  app: segment.describe('The slug of the app.'),
  client: segment.describe('The id of the client, as the API of Wacht gives it.'),
});

export const CLIENT_EXAMPLE = { deployment: '185019846023', app: 'mcp-auth', client: '4711' } as const;

const time = z.iso.datetime().describe('RFC 3339, UTC.');

export const reference = z
  .string()
  .meta({ pattern: REFERENCE.source, description: 'deployment/app-slug/oauth_client_id' });

const state = z.enum(CLIENT_STATES);

const rotationState = z
  .enum(ROTATION_STATES)
  .describe('active: the new key signs and is proven. finished: the old one is gone, too.');

const key = z.object({
  kid: z.string(),
  alg: z.string().nullable(),
  state: z.string(),
  created_at: time.nullable(),
  published_at: time.nullable(),
  activated_at: time.nullable(),
  destroyed_at: time.nullable(),
  proof: z.string().nullable(),
});

const pause = z.looseObject({ actor: z.string(), reason: z.string(), since: time, until: time.nullable() });

const signers = z.object({
  heard_at: time,
  error: z.string().nullable(),
  reports: z.array(
    z.object({
      name: z.string(),
      kids: z.array(z.string()),
      signing: z.string().nullable(),
      at: time,
      recent: z.boolean(),
    }),
  ),
  missing: z.array(z.string()),
});

const currentRotation = z.object({
  id: z.string(),
  strategy: z.enum(['overlap', 'cutover']),
  phase: z.string(),
  kid: z.string().nullable(),
  offered_until: time.nullable(),
  since: time,
  rollback: z.boolean(),
  attempts: z.int(),
  next_try: time.nullable(),
  error: z.string().nullable(),
  compromised: z.boolean(),
  actor: z.string(),
  reason: z.string(),
});

const retirement = z.object({
  kid: z.string().nullable(),
  rotation: z.string(),
  role: z.string(),
  phase: z.string(),
  until: time,
  attempts: z.int(),
  error: z.string().nullable(),
});

const exposure = z.object({
  kid: z.string().nullable().describe('null: it was not ours.'),
  reported_at: time,
  refused_at: time.nullable().describe('When the server was seen to refuse it.'),
  seconds: z.number().nullable().describe('From the report until then.'),
  tokens_until: time
    .nullable()
    .describe('Until when access tokens may live that were issued with it; null: not known.'),
}) satisfies z.ZodType<ExposureStatus>;

const drift = z.object({ since: time, what: z.array(z.enum(DRIFT_KINDS)), differences: z.array(z.string()) });

type Members = { readonly [Member in keyof ClientStatus]-?: z.ZodType };

/** As `rekeyd status --json` prints one. */
export const clientSchema = z
  .object({
    client: reference,
    client_id: z.string().describe('The OAuth client_id.'),
    policy: z.string().nullable().describe('null: the config no longer takes care of this client.'),
    enrolment: z.enum(['found', 'held', 'enrolled']),
    state,
    overdue: z.boolean(),
    paused: pause.nullable(),
    compromised: z.boolean().describe('A key that was reported as compromised still signs in.'),
    active: key.extend({ age_seconds: z.int() }).nullable(),
    keys: z.array(key),
    next_due: time.nullable().describe('null: no schedule rotates it.'),
    due: z.looseObject({ reason: z.string(), message: z.string() }).nullable(),
    rotation: currentRotation.nullable().describe('The one under way.'),
    retiring: z.array(retirement),
    signers: signers.nullable(),
    waiting: z.object({ why: z.string(), until: time }).nullable(),
    drift: drift.nullable().describe('What its server shows that rekeyd did not publish.'),
    last_error: z.string().nullable(),
    halted: z.string().nullable(),
    exposures: z
      .array(exposure)
      .optional()
      .describe(
        'Keys that were reported as compromised, the latest first. Absent in lists, and where there were none.',
      ),
    advice: z
      .string()
      .nullable()
      .optional()
      .describe('What a person does about the most pressing thing; null: nothing has to be done. Absent in lists.'),
  } satisfies Members)
  .meta({ id: 'Client' });

const driftDocument = z.object({
  alg: z.string().nullable(),
  jwks_uri: z.string().nullable(),
  keys: z
    .array(
      z.object({
        kid: z.string().nullable(),
        origin: z.enum(['ours', 'former', 'foreign']).describe('former: it is not published by us any more.'),
        thumbprint: z.string().nullable().describe('Of our keys. RFC 7638, SHA-256.'),
        id: z.string().nullable().describe('SHA-256 of its SubjectPublicKeyInfo, base64url.'),
        kty: z.string(),
        alg: z.string().nullable(),
        pem: z.enum(['same', 'other', 'none']).describe('Whether its public_key_pem is of the same key.'),
      }),
    )
    .describe('In order. Empty beside a jwks_uri of ours.'),
});

export const driftSchema = z
  .object({
    client: reference,
    client_id: z.string().describe('The OAuth client_id.'),
    enrolment: z.enum(['found', 'held', 'enrolled']),
    since: time.nullable().describe('When it was first seen; null: nothing has drifted. Who did it is not known.'),
    what: z.array(z.object({ kind: z.enum(DRIFT_KINDS), text: z.string() })),
    by_itself: z.string().describe('What rekeyd does about it by itself.'),
    to_do: z.string().nullable().describe('What a person can do; null: nothing has to be done.'),
    ours: driftDocument.nullable().describe('What rekeyd publishes; null: no key of the client is ours.'),
    server: driftDocument,
  } satisfies { readonly [Member in keyof DriftView]: z.ZodType })
  .meta({ id: 'Drift' });

export const rotationSchema = z
  .object({
    id: z.string(),
    client: reference,
    state: rotationState,
    strategy: z.enum(['overlap', 'cutover']),
    kid: z.string().nullable().describe('The key that it brings in; null before one is made.'),
    replaces: z.string().nullable().describe('The key that was active before; null: one that is not ours.'),
    actor: z.string(),
    reason: z.string(),
    request: z.string().nullable().describe('The request that asked for it; null: a schedule did.'),
    started_at: time,
    active_at: time.nullable(),
    ended_at: time.nullable(),
    error: z.string().nullable(),
  })
  .meta({ id: 'Rotation' });

export const auditEntrySchema = z
  .object({
    seq: z.int(),
    time,
    type: z.string(),
    client: reference.nullable(),
    rotation: z.string().nullable(),
    actor: z.string().describe('What the caller says.'),
    claimed_by: z.string().optional().describe('Who was authenticated; absent where nobody was.'),
    reason: z.string(),
    data: z.record(z.string(), z.unknown()),
    prev: z.string().optional(),
    hash: z.string().optional(),
  })
  .meta({ id: 'AuditEntry' });

/** RFC 7517 section 5. */
export const jwksSchema = z
  .object({ keys: z.array(z.looseObject({ kty: z.string(), kid: z.string().optional() })) })
  .meta({ id: 'JwkSet' });

const notEnrolled = z.object({ client: reference, enrolment: z.enum(['found', 'held']) });

/** What a request came to, or what it waits for. */
export const acceptedSchema = z
  .object({
    request: z.string().describe('The request, as the audit log names it.'),
    rotations: z.array(z.object({ id: z.string(), client: reference, state: rotationState.optional() })),
    pending: z.boolean().describe('True: it has not been begun. Ask again, with the same Idempotency-Key.'),
    waits_for: z.string().optional().describe('What a pending request waits for, where a worker has said so.'),
    errors: z
      .array(z.object({ client: z.string(), message: z.string() }))
      .optional()
      .describe('Clients for which nothing was started, and why.'),
    skipped: z
      .array(notEnrolled)
      .optional()
      .describe('Clients of a fan-out that were left alone, because they are not enrolled.'),
    taken_over: z
      .array(notEnrolled)
      .optional()
      .describe('Clients that were not enrolled: their applications must take the new key at once.'),
  })
  .meta({ id: 'Accepted' });

export type Accepted = z.output<typeof acceptedSchema>;
