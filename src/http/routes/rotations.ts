/** Asking for rotations, and how they are. */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { RequestResult } from '../../../jobs/request.ts';
import { requestResult } from '../../../jobs/result.ts';
import { requestSchema } from '../../../jobs/schemas.ts';
import { policyFor } from '../../config/model.ts';
import type { ClientRef } from '../../core/client.ts';
import type { RotationSummary } from '../../core/history.ts';
import { hasCode, messageOf } from '../../errors.ts';
import { PAGE } from '../../parallel.ts';
import { summaryOf } from '../../status/rotation.ts';
import { answerOf } from '../../store/redis/patience.ts';
import type { Store } from '../../store/store.ts';
import { after } from '../../time.ts';
import { KEY_PATTERN, type Once, onceFor } from '../idempotency.ts';
import { checkSelection, mayTouch, notKnown, type Principal } from '../principal.ts';
import { ProblemError } from '../problem.ts';
import { type ApiContext, type Call, type Route, route } from '../route.ts';
import { reference, rotationSchema, rotationState } from './schemas.ts';

/** How long a caller waits for a worker to take the request, and for Redis, in ms. */
const WAIT_MS = 20_000;
const PATIENCE_MS = 5_000;

/** Of more rotations the state is not looked up: they have just begun. */
const MOST_LOOKED_UP = 1_000;

const bodySchema = requestSchema.extend({
  v: requestSchema.shape.v.default(1),
  actor: requestSchema.shape.actor.optional().describe('Who asks; absent: the name of the token.'),
});

type Body = z.output<typeof bodySchema>;

const notEnrolled = z.object({ client: reference, enrolment: z.enum(['found', 'held']) });

const acceptedSchema = z
  .object({
    request: z.string().describe('The request, as the audit log names it.'),
    rotations: z.array(z.object({ id: z.string(), client: reference, state: rotationState.optional() })),
    pending: z.boolean().describe('True: no worker has taken it yet. Ask again with the same Idempotency-Key.'),
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

type Accepted = z.output<typeof acceptedSchema>;

export const rotationIdPath = z.strictObject({
  id: z.string().regex(/^r[A-Za-z0-9_-]{21}$/, 'is not the id of a rotation'),
});
export const rotationIdExample = 'rq4Yw9F7nJ2kQ8vXc0LsTA';

export const rotationRoutes: readonly Route[] = [
  route({
    ...{ method: 'POST', path: '/v1/rotations', scope: 'rotate', id: 'requestRotations' },
    summary: 'Ask for rotations.',
    description:
      'The same request as in the queue. It waits until a worker has begun them. With an Idempotency-Key, who asks again within a day is answered as the first time.',
    body: bodySchema,
    requestHeaders: {
      'Idempotency-Key': {
        description: 'Any text of yours, such as a UUID. The same key with another body is refused.',
        schema: z.string().meta({ pattern: KEY_PATTERN }),
      },
    },
    answers: { 202: { description: 'The rotations that were begun, or joined.', schema: acceptedSchema } },
    problems: {
      422: 'Nothing could be started, or the Idempotency-Key stands for another body.',
      503: 'Redis went away. Whether the request is taken is not known: ask again with the same Idempotency-Key.',
    },
    examples: {
      body: {
        select: { clients: ['185019846023/mcp-auth/4711'] },
        reason: 'found in a public repository',
        compromised: true,
      },
    },
    handle: (call: Call<unknown, unknown, Body>) => ask(call),
  }),
  route({
    ...{ method: 'GET', path: '/v1/rotations/{id}', scope: 'read', id: 'getRotation' },
    summary: 'One rotation and how it is.',
    params: rotationIdPath,
    answers: { 200: { description: 'The rotation.', schema: rotationSchema } },
    problems: { 404: 'It is not known, or the token may not see it. Rotations are kept for at most a hundred days.' },
    examples: { params: { id: rotationIdExample } },
    async handle({ context, principal, params: { id } }) {
      const { client, summary } = await findRotation(context, principal, id);
      return { status: 200, body: rotationDocument(client, summary) };
    },
  }),
];

/** @throws ProblemError 404 */
export async function findRotation({ resources: { store } }: ApiContext, principal: Principal, id: string) {
  const place = await store.rotationPlace(id);
  if (place === null || !mayTouch(principal, place.client)) throw notKnown(`The rotation ${id}`);
  const record = (await store.load(place.client))?.record;
  const summary = await summaryOf(store, id, place.client, record);
  if (summary === undefined) throw notKnown(`The rotation ${id}`);
  return { ...place, summary };
}

function rotationDocument(client: ClientRef, summary: RotationSummary): z.output<typeof rotationSchema> {
  const { id, state, strategy, kid, replaces, actor, reason, request, startedAt, activeAt, endedAt, error } = summary;
  return {
    ...{ id, client, state, strategy, kid, replaces, actor, reason, request, error },
    started_at: new Date(startedAt).toISOString(),
    active_at: activeAt === null ? null : new Date(activeAt).toISOString(),
    ended_at: endedAt === null ? null : new Date(endedAt).toISOString(),
  };
}

async function ask(call: Call<unknown, unknown, Body>) {
  const { context, principal, body, headers } = call;
  const { store, config } = context.resources;
  checkSelection(principal, body.select);
  const { select } = body;
  const known = 'clients' in select ? select.clients.filter((ref) => policyFor(config, ref) !== null) : null;
  const unknown = 'clients' in select ? select.clients.filter((ref) => policyFor(config, ref) === null) : [];
  const errors = unknown.map((client) => ({ client, message: `The config has no policy for ${client}.` }));
  if (known?.length === 0) throw nothingStarted(errors);
  const key = headers['idempotency-key'];
  const actor = body.actor ?? principal.claimedBy;
  try {
    const once = key === undefined ? null : await soon(onceFor(store, principal, key, body));
    if (once !== null && once.answer !== null) return { status: 202, body: once.answer };
    const wanted = { ...body, actor, ...(known === null ? {} : { select: { clients: known } }) };
    const id = `http-${once?.name ?? randomUUID()}`;
    await soon(noteCall(store, call, id, wanted));
    await soon(context.queues.request(wanted, id));
    return { status: 202, body: await answerFor(call, id, once, errors) };
  } catch (error) {
    if (!hasCode(error, 'redis_unreachable')) throw error;
    throw new ProblemError(503, key === undefined ? LOST_WITHOUT_KEY : LOST, {
      headers: { 'retry-after': '5' },
      cause: error,
    });
  }
}

const LOST =
  'Redis went away, and the request may be taken. Ask again with the same Idempotency-Key and the same body: it is one request.';
const LOST_WITHOUT_KEY =
  'Redis went away, and the request may be taken. Ask again: a client whose rotation is under way is not rotated twice. An Idempotency-Key makes it one request in any case.';

/** Not for as long as Redis may be away. @throws RekeydError `redis_unreachable` */
function soon<T>(work: Promise<T>): Promise<T> {
  return answerOf(work, { signal: new AbortController().signal, ms: PATIENCE_MS }, '') as Promise<T>; // null only after an abort, and nobody aborts
}

/** Before it is asked for: a request without an entry would be worse than an entry without its request. */
async function noteCall(store: Store, { principal, address }: Call, request: string, body: Body): Promise<void> {
  const { actor = principal.claimedBy, reason, select, compromised } = body;
  const [kind = ''] = Object.keys(select);
  const data = { request, route: 'POST /v1/rotations', address, select: kind, compromised: compromised !== false };
  const draft = {
    type: 'api.called',
    client: null,
    rotation: null,
    actor,
    claimed_by: principal.claimedBy,
    reason,
    data,
  } as const;
  await store.append([draft], `api ${request}`);
}

async function answerFor(
  { context, signal }: Call,
  id: string,
  once: Once | null,
  unknown: NonNullable<Accepted['errors']>,
): Promise<unknown> {
  const waited = AbortSignal.any([signal, after(WAIT_MS)]);
  const found = await requestResult(context.queues, id, { signal: waited, ms: PATIENCE_MS, onRetry: () => {} }).catch(
    (error: unknown) => {
      if (hasCode(error, 'request_failed')) throw new ProblemError(422, messageOf(error));
      throw error;
    },
  );
  if (found === null)
    return { request: id, rotations: [], pending: true, ...(unknown.length > 0 && { errors: unknown }) };
  const { rotations, errors = [], skipped = [], taken_over: takenOver = [] } = found as RequestResult; // what `fanOut` returns, through JSON
  const failed = [...unknown, ...errors];
  if (rotations.length === 0 && failed.length > 0) throw nothingStarted(failed);
  const states = await soon(statesOf(context.resources.store, rotations));
  const answer: Accepted = {
    request: id,
    rotations: rotations.map((rotation) => ({ ...rotation, ...states.get(rotation.id) })),
    pending: false,
    ...(failed.length > 0 && { errors: failed }),
    ...(skipped.length > 0 && { skipped: [...skipped] }),
    ...(takenOver.length > 0 && { taken_over: [...takenOver] }),
  };
  return once === null ? answer : soon(once.keep(answer));
}

function nothingStarted(errors: readonly { readonly client: string; readonly message: string }[]): ProblemError {
  const told = errors.slice(0, PAGE).map(({ client, message }) => ({ client, detail: message }));
  return new ProblemError(422, 'Nothing was started. What stands in the way of each client is in errors.', {
    errors: told,
  });
}

/** By rotation. */
async function statesOf(
  store: Store,
  rotations: RequestResult['rotations'],
): Promise<ReadonlyMap<string, { readonly state: RotationSummary['state'] }>> {
  if (rotations.length > MOST_LOOKED_UP) return new Map();
  const records = await store.loadMany(rotations.map(({ client }) => client));
  const found = rotations.map(async ({ id, client }) => {
    const summary = await summaryOf(store, id, client, records.get(client)?.record);
    return summary === undefined ? [] : [[id, { state: summary.state }] as const];
  });
  return new Map((await Promise.all(found)).flat());
}
