/** What was asked for, and saying yes to what somebody else asked for. */
import { z } from 'zod';
import { acceptedOf, onlyFor, pendingOf } from '../outcome.ts';
import { ProblemError } from '../problem.ts';
import { approveFor, requestFor } from '../requests.ts';
import { type Call, type Route, route } from '../route.ts';
import { acceptedSchema } from './schemas.ts';

const requestPath = z.strictObject({
  // Those of producers have the name of their queue before a colon, and programs may choose the rest.
  request: z.string().regex(/^[A-Za-z0-9_.:%-]{1,200}$/, 'is not the id of a request'),
});

const approvedSchema = z
  .object({
    request: z.string(),
    approved_by: z.string(),
    asked_by: z.string().describe('What the one who asked says of itself.'),
    asked_claimed_by: z.string().nullable().describe('Who that was, as authenticated; null: nobody was.'),
    reason: z.string(),
    select: z.looseObject({}),
  })
  .meta({ id: 'Approved' });

const REQUEST_EXAMPLE = 'http-5sYpXc3pZ0b2f5nq7l1vXg';

export const requestRoutes: readonly Route[] = [
  route({
    ...{ method: 'GET', path: '/v1/requests/{request}', scope: 'read', id: 'getRequest' },
    summary: 'What a request came to.',
    description:
      'Of the HTTP API and of the command line, for a day at most. A restricted token sees what is about its own clients.',
    params: requestPath,
    answers: {
      200: { description: 'As it was, or would have been, answered.', schema: acceptedSchema },
    },
    problems: { 404: 'It is not known, or not any more.', 422: 'It failed: nothing could be started.' },
    examples: { params: { request: REQUEST_EXAMPLE } },
    handle: tellRequest,
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
      404: 'No such request waits, or it has ended: `detail` says how.',
      409: 'It was this token that asked, or the request has waited for more than a day.',
    },
    examples: { params: { request: REQUEST_EXAMPLE } },
    handle: approveRequest,
  }),
];

type RequestCall = Call<z.output<typeof requestPath>>;

async function tellRequest({ context, principal, params: { request } }: RequestCall) {
  const state = await requestFor(context.queues, principal, request);
  if (state.is === 'failed') throw new ProblemError(422, `Request ${request} failed: ${state.why}`);
  if (state.is === 'waiting') return { status: 200, body: pendingOf(request, state.why || null, []) };
  const result = onlyFor(principal, state.result);
  return { status: 200, body: await acceptedOf(context.resources.store, request, result, []) };
}

async function approveRequest({ context, principal, address, params: { request } }: RequestCall) {
  const by = { route: 'POST /v1/requests/{request}/approval', address, reason: 'approved over HTTP' };
  const { asked, claimedBy: askedClaimedBy } = await approveFor(context, principal, request, by);
  const { actor, reason, select } = asked;
  const told = { approved_by: principal.claimedBy, asked_by: actor, asked_claimed_by: askedClaimedBy };
  return { status: 200, body: { request, ...told, reason, select } };
}
