/** Asking for rotations, and how they are. */
import { z } from 'zod';
import { approve } from '../../../jobs/approval.ts';
import { requestSchema } from '../../../jobs/schemas.ts';
import type { ClientRef } from '../../core/client.ts';
import type { RotationSummary } from '../../core/history.ts';
import { hasCode, messageOf } from '../../errors.ts';
import { keksOf } from '../../rotation/policy.ts';
import { summaryOf } from '../../status/rotation.ts';
import { ask } from '../ask.ts';
import { KEY_PATTERN } from '../idempotency.ts';
import { mayTouch, notKnown, type Principal } from '../principal.ts';
import { ProblemError } from '../problem.ts';
import { type ApiContext, type Call, type Route, route } from '../route.ts';
import { reference, rotationSchema, rotationState } from './schemas.ts';

const bodySchema = requestSchema.omit({ claim: true }).extend({
  v: requestSchema.shape.v.default(1),
  actor: requestSchema.shape.actor.optional().describe('Who asks; absent: the name of the token.'),
});

export type RequestBody = z.output<typeof bodySchema>;

const notEnrolled = z.object({ client: reference, enrolment: z.enum(['found', 'held']) });

const acceptedSchema = z
  .object({
    request: z.string().describe('The request, as the audit log names it.'),
    rotations: z.array(z.object({ id: z.string(), client: reference, state: rotationState.optional() })),
    pending: z.boolean().describe('True: it was not begun in time. Ask again with the same Idempotency-Key.'),
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

export const rotationIdPath = z.strictObject({
  id: z.string().regex(/^r[A-Za-z0-9_-]{21}$/, 'is not the id of a rotation'),
});
export const rotationIdExample = 'rq4Yw9F7nJ2kQ8vXc0LsTA';

const requestPath = z.strictObject({
  request: z.string().regex(/^[A-Za-z0-9_-]{1,128}$/, 'is not the id of a request'),
});

const approvedSchema = z
  .object({
    request: z.string(),
    approved_by: z.string(),
    asked_by: z.string(),
    reason: z.string(),
    select: z.looseObject({}),
  })
  .meta({ id: 'Approved' });

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
    handle: (call: Call<unknown, unknown, RequestBody>) => ask(call),
  }),
  route({
    ...{ method: 'POST', path: '/v1/requests/{request}/approval', scope: 'rotate', id: 'approveRequest' },
    summary: 'Approve what somebody else asked for.',
    description:
      'Where the config says `approval`, a compromise of much of the fleet waits for a second person: another token, or another user on the command line. There is no body.',
    params: requestPath,
    answers: { 200: { description: 'It is approved, and goes on.', schema: approvedSchema } },
    problems: {
      403: 'A restricted token approves nothing.',
      404: 'No such request waits.',
      409: 'It was this token that asked.',
    },
    examples: { params: { request: 'http-5sYpXc3pZ0b2f5nq7l1vXg' } },
    handle: approveRequest,
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

async function approveRequest({ context, principal, params: { request } }: Call<z.output<typeof requestPath>>) {
  const { resources, queues } = context;
  const { claimedBy, only } = principal;
  if (only !== null) throw new ProblemError(403, `${claimedBy} is for ${only} alone: it approves nothing.`);
  const by = { actor: claimedBy, claimedBy, reason: 'approved over HTTP' };
  const parts = { queues, store: resources.store, keks: keksOf(resources.config) };
  try {
    const { actor, reason, select } = await approve(request, by, parts);
    return { status: 200, body: { request, approved_by: claimedBy, asked_by: actor, reason, select } };
  } catch (error) {
    if (hasCode(error, 'not_found')) throw new ProblemError(404, `No request ${request} waits.`);
    if (hasCode(error, 'usage')) throw new ProblemError(409, messageOf(error));
    throw error;
  }
}
