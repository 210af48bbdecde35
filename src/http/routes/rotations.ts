/** Asking for rotations, and how they are. */
import { z } from 'zod';
import { requestSchema } from '../../../jobs/schemas.ts';
import type { ClientRef } from '../../core/client.ts';
import type { RotationSummary } from '../../core/history.ts';
import { summaryOf } from '../../status/client/rotations.ts';
import { ask } from '../ask.ts';
import { KEY_PATTERN } from '../idempotency.ts';
import { mayTouch, notKnown, type Principal } from '../principal.ts';
import { type ApiContext, type Call, type Route, route } from '../route.ts';
import { acceptedSchema, rotationSchema } from './schemas.ts';

const bodySchema = requestSchema.omit({ claim: true }).extend({
  v: requestSchema.shape.v.default(1),
  actor: requestSchema.shape.actor.optional().describe('Who asks; absent: the name of the token.'),
});

export type RequestBody = z.output<typeof bodySchema>;

export const rotationIdPath = z.strictObject({
  id: z.string().regex(/^r[A-Za-z0-9_-]{21}$/, 'is not the id of a rotation'),
});
export const rotationIdExample = 'rq4Yw9F7nJ2kQ8vXc0LsTA';

export const rotationRoutes: readonly Route[] = [
  route({
    ...{ method: 'POST', path: '/v1/rotations', scope: 'rotate', id: 'requestRotations' },
    summary: 'Ask for rotations.',
    description:
      'The same request as in the queue. The answer comes when a worker has begun them, or after 20 s. With an Idempotency-Key, who asks again within a day is answered as the first time.',
    body: bodySchema,
    requestHeaders: {
      'Idempotency-Key': {
        description: 'Any text of yours, such as a UUID. The same key with another body is refused.',
        schema: z.string().meta({ pattern: KEY_PATTERN }),
      },
      Prefer: {
        description:
          'With respond-async (RFC 7240) the answer comes as soon as the request is taken: ask GET /v1/requests/{request}.',
        schema: z.string(),
      },
    },
    answers: {
      202: {
        description: 'The rotations that were begun, or joined.',
        schema: acceptedSchema,
        headers: { Location: 'Where the request is told of, for a day at most.' },
      },
    },
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
