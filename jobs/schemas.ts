/** What job data may be. It holds references and words, never key material; what does not parse fails without retry. */
import { z } from 'zod';
import { APP_PATH, type ClientRef, parseReference, REFERENCE } from '../src/core/client.ts';
import { HOLDS_SECRET, holdsSecret } from '../src/core/private-text.ts';
import { shortMessage } from '../src/core/reply.ts';
import { messageOf, RekeydError } from '../src/errors.ts';

/** The pattern holds the lengths too: beside it they would count, in the published schema, the blanks that are cut off here. */
const words = z
  .string()
  .regex(/^\s*\S(?:[\s\S]{0,498}\S)?\s*$/u, 'must have 1 to 500 characters, and not only blanks')
  .trim();

const auditedWords = words.refine((text) => !holdsSecret(text), HOLDS_SECRET);

const reference = z
  .string()
  .transform((text, context): ClientRef => {
    try {
      return parseReference(text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: messageOf(error) });
      return z.NEVER;
    }
  })
  .meta({ pattern: REFERENCE.source });

const appPath = z.string().regex(APP_PATH, 'must be deployment/app-slug');

/** The on-demand job, for any BullMQ producer. `docs/request.schema.json` is its input side. */
export const requestSchema = z.strictObject({
  v: z.literal(1).describe('Version of this format.'),
  select: z
    .union(
      [
        z.strictObject({
          clients: z.array(reference.describe('deployment/app-slug/oauth_client_id')).min(1).max(10_000),
        }),
        z.strictObject({ app: appPath.describe('deployment/app-slug') }),
        z.strictObject({ policy: words }),
        z.strictObject({ all: z.literal(true, { error: 'must be true' }) }),
        z.strictObject({ kid: words.describe('With compromised: the clients that have this key, in whatever state.') }),
        z.strictObject({
          kek: words.describe('With compromised: all keys that are, or were, encrypted under this KEK.'),
        }),
        z.strictObject({
          host: words.describe(
            'With compromised: all keys of the clients that have a signer that reported from this host.',
          ),
        }),
      ],
      {
        error:
          'must have exactly one of these: clients (a list of references), app, policy, all (true), kid, kek, host',
      },
    )
    .describe('Which clients to rotate: exactly one of these.'),
  reason: auditedWords.describe('Goes verbatim to the audit trail.'),
  actor: auditedWords.describe('Who asks; goes verbatim to the audit trail.'),
  compromised: z
    .union([z.boolean(), z.strictObject({ kid: words })], { error: 'must be true, false or { kid }' })
    .default(false)
    .describe(
      'True when the key in use may have leaked, or { kid } for a certain one: no soak, no overlap, no rollback to it.',
    ),
  keep_standby: z
    .boolean()
    .default(false)
    .describe(
      'With compromised: use the standby key although signers hold it beside the exposed one. Only where that one leaked in another way than from them.',
    ),
  take_over: z
    .boolean()
    .default(false)
    .describe(
      'Rotate also clients that are not enrolled: their applications must take the new key from their key folders at once.',
    ),
  confirm: z
    .boolean()
    .default(false)
    .describe('With compromised: also when it is about more of the fleet than the breaker of the config allows.'),
  try_alg: z
    .boolean()
    .default(false)
    .describe(
      'With select.clients: change to the alg of the policy although nobody was seen to sign in with it on that app. A refused key is rolled back.',
    ),
  claim: z
    .string()
    .max(4_096)
    .optional()
    .describe('Who was authenticated, signed by rekeyd itself. Producers leave it out.'),
});

/** What a request says beyond its members: what does not go together. @returns what is wrong and what to do, or null */
export function contradiction({ select, compromised, keep_standby: keeps, try_alg: tries }: Request): string | null {
  const [how = ''] = Object.keys(select);
  const isLeak = 'kid' in select || 'kek' in select || 'host' in select;
  if (isLeak && compromised === false) return `select.${how} is about keys that leaked: it goes with compromised.`;
  if (isLeak && compromised !== true) return `select.${how} says which keys leaked: with it, compromised is true.`;
  if (keeps && ('kek' in select || 'host' in select)) {
    return `keep_standby does not go with select.${how}: the standby keys leaked with the others.`;
  }
  if (keeps && compromised === false) return 'keep_standby goes with compromised: other rotations use the standby key.';
  if (tries && !('clients' in select)) {
    return 'try_alg goes with select.clients: an alg that nobody was seen to sign in with is tried on clients that somebody names.';
  }
  return null;
}

export function requestJsonSchema(): unknown {
  return z.toJSONSchema(requestSchema, { io: 'input' });
}

/** `reindex`: the policy may have changed since the clients' due times were noted. */
export const sweepSchema = z.strictObject({
  v: z.literal(1),
  policy: words,
  slot: words,
  reindex: z.boolean().default(false),
});
export const discoverSchema = z.strictObject({ v: z.literal(1), policy: words, slot: words });
export const waveSchema = z.strictObject({ v: z.literal(1), policy: words, slot: words });
export const reconcileSchema = z.strictObject({ v: z.literal(1) });
export const probeSchema = z.strictObject({ v: z.literal(1), app: appPath });
export const rotateSchema = z.strictObject({ v: z.literal(1), client: reference, rotation: words.optional() });

export type Request = z.output<typeof requestSchema>;
export type RequestInput = z.input<typeof requestSchema>;
export type Sweep = z.output<typeof sweepSchema>;
export type Discover = z.output<typeof discoverSchema>;
export type Probe = z.output<typeof probeSchema>;

/** The message stays with the failed job in Redis, so it does not grow with the data. */
const MOST_PROBLEMS = 5;

/** What is wrong with `data`, each with the member that it is about, as far as it fits. */
export function problemsOf({ issues }: z.core.$ZodError, data: unknown): readonly string[] {
  const problems = issues.slice(0, MOST_PROBLEMS).flatMap((issue) => told(issue, [], data));
  return problems.slice(0, MOST_PROBLEMS).map(shortMessage);
}

/** Of a member that may be one thing or another, what is wrong with the one that was meant. */
function told(issue: z.core.$ZodIssue, above: readonly PropertyKey[], data: unknown): readonly string[] {
  const path = [...above, ...issue.path];
  const meant = issue.code === 'invalid_union' ? issue.errors.find((branch) => isMeant(branch, path, data)) : undefined;
  if (meant !== undefined) return meant.flatMap((inner) => told(inner, path, data));
  return [`${path.join('.') || 'data'}: ${issue.message}`];
}

/** It has the members that it must have and no others, and what is wrong is within them. */
function isMeant(branch: readonly z.core.$ZodIssue[], above: readonly PropertyKey[], data: unknown): boolean {
  return branch.every(
    ({ code, path }) => code !== 'unrecognized_keys' && path.length > 0 && isThere(data, [...above, ...path]),
  );
}

function isThere(data: unknown, path: readonly PropertyKey[]): boolean {
  return path.reduce<unknown>((value, part) => Object(value)[part], data) !== undefined;
}

/** @throws RekeydError `job_invalid` */
export function parseJob<T>(schema: z.ZodType<T>, name: string, data: unknown): T {
  const parsed = schema.safeParse(data);
  if (parsed.success) return parsed.data;
  throw new RekeydError(
    'job_invalid',
    `The data of this ${name} job cannot be used: ${problemsOf(parsed.error, data).join('; ')}. It is not tried again.`,
  );
}
