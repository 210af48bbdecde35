/** What happens to a rotation, as it happens. */
import { z } from 'zod';
import { hasEnded } from '../../status/client/rotations.ts';
import type { Store } from '../../store/store.ts';
import { type Listen, MOST_OF_A_CALLER } from '../events.ts';
import type { Principal } from '../principal.ts';
import { ProblemError } from '../problem.ts';
import { type Route, route, type Sink } from '../route.ts';
import { findRotation, rotationIdExample, rotationIdPath } from './rotations.ts';

export const eventRoutes: readonly Route[] = [
  route({
    ...{ method: 'GET', path: '/v1/rotations/{id}/events', scope: 'read', id: 'followRotation' },
    summary: 'The audit entries of a rotation, as they are written.',
    description:
      'Server-Sent Events. `id` is the number of the entry, `event` its type, `data` the entry. The stream ends with the rotation; one that is cut off goes on after Last-Event-ID. An event `cut`, `{after, first}`, says that entries in between were exported and cut from the log.',
    params: rotationIdPath,
    requestHeaders: {
      'Last-Event-ID': {
        description: 'The last event that was heard.',
        schema: z.string().meta({ pattern: '^[0-9]+$' }),
      },
    },
    answers: {
      200: {
        description: 'The events so far, then each as it happens.',
        type: 'text/event-stream',
        schema: z.string(),
      },
      204: { description: 'The rotation has ended, and nothing happened after Last-Event-ID: do not ask again.' },
    },
    problems: {
      404: 'It is not known, or the token may not see it.',
      429: 'Too many requests, or this token has as many streams open as one may have.',
      503: 'As many listen as may.',
    },
    examples: { params: { id: rotationIdExample } },
    async handle({ context, principal, params: { id }, headers }) {
      const { firstSeq, summary } = await findRotation(context, principal, id);
      const { store } = context.resources;
      const last = await lastHeard(store, headers['last-event-id']);
      const after = Math.max(last, firstSeq - 1);
      const isOver = hasEnded(summary);
      if (isOver && last > 0 && !(await isMentioned(store, id, after))) return { status: 204 };
      const { key: caller, isValid } = principal;
      const listening = { rotation: id, caller, after, isOver, isValid };
      const told = { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' };
      const stream = (sink: Sink) => refuseOver(context.events.listen(listening, sink), principal);
      return { status: 200, headers: told, stream };
    },
  }),
];

/** @throws ProblemError 429, 503 */
function refuseOver(listen: Listen, { claimedBy }: Principal): void {
  const again = 'Ask again later, or ask GET /v1/rotations/{id} now and then.';
  const headers = { 'retry-after': '30' };
  if (listen === 'full') throw new ProblemError(503, `As many listen already as may. ${again}`, { headers });
  if (listen === 'caller_full') {
    const detail = `${claimedBy} has ${MOST_OF_A_CALLER} streams of events open here, and one caller may have no more. Close one. ${again}`;
    throw new ProblemError(429, detail, { headers });
  }
}

/** 0: the stream begins at the beginning. A number that the log has not come to is of a store that was lost, and counts as 0. */
async function lastHeard(store: Store, given: string | undefined): Promise<number> {
  const last = /^[0-9]{1,15}$/.test(given ?? '') ? Number(given) : 0;
  return last <= (await store.auditSize()) ? last : 0;
}

const PAGE = 500;
const MOST_PAGES = 20;

/** Whether the log has an entry about the rotation after `after`. When {@link MOST_PAGES} pages have none, it is taken to have one: the stream reads on. */
async function isMentioned(store: Store, id: string, after: number): Promise<boolean> {
  let at = after;
  for (let page = 0; page < MOST_PAGES; page += 1) {
    const entries = await store.settledAfter(at, PAGE);
    if (entries.some(({ rotation }) => rotation === id)) return true;
    if (entries.length < PAGE) return false;
    at = entries.at(-1)?.seq ?? at;
  }
  return true;
}
