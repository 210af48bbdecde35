/** The requests that a report of leaked keys comes to: one for each key, through the queue as any other. */
import { hash } from 'node:crypto';
import type { RequestResult } from '../../jobs/request.ts';
import { requestResult, requestState } from '../../jobs/result.ts';
import type { RequestInput } from '../../jobs/schemas.ts';
import type { ClientRef } from '../core/client.ts';
import { hasCode, messageOf } from '../errors.ts';
import type { Candidate } from '../rotation/owners.ts';
import { after } from '../time.ts';
import { soon } from './ask.ts';
import { enqueue } from './enqueue.ts';
import type { LeakReport } from './leaks.ts';
import type { ApiContext } from './route.ts';

export interface Replacement {
  /** What the clients call the key; its id where they have no name for it. */
  readonly kid: string;
  readonly request: string;
  readonly clients: readonly ClientRef[];
  /** By client: those that were begun or joined. Null: no worker has taken the request yet. */
  readonly rotations: ReadonlyMap<string, string> | null;
  readonly error: string | null;
}

interface Asked {
  readonly clients: Set<ClientRef>;
  readonly marks: Set<string>;
}

export interface Replacements {
  add(kid: string, candidate: Candidate): void;
  /** By kid. @throws RekeydError `redis_unreachable`, `not_durable` */
  send(): Promise<ReadonlyMap<string, Replacement>>;
}

/** How long a caller waits for a worker to take the requests, and for Redis, in ms. */
const WAIT_MS = 20_000;
const PATIENCE_MS = 5_000;

export function openReplacements(report: LeakReport, context: ApiContext): Replacements {
  const asked = new Map<string, Asked>();
  return {
    add(kid, candidate) {
      const one = asked.get(kid) ?? { clients: new Set(), marks: new Set() };
      one.clients.add(candidate.client);
      one.marks.add(markOf(candidate));
      asked.set(kid, one);
    },
    async send() {
      const sent: Replacement[] = [];
      for (const [kid, one] of asked) sent.push(await soon(replace(kid, one, report, context)));
      // A scanner is told nothing, and does not wait.
      if (report.principal === null) return byKid(sent);
      const waited = AbortSignal.any([report.signal, after(WAIT_MS)]);
      return byKid(await Promise.all(sent.map((one) => answered(one, context, waited))));
    },
  };
}

function byKid(replacements: readonly Replacement[]): ReadonlyMap<string, Replacement> {
  return new Map(replacements.map((one) => [one.kid, one]));
}

/** What is another leak, although the key and the client are the same: it was imported again, or its replacement failed. */
function markOf({ client, sealed, record }: Candidate): string {
  return JSON.stringify([client, sealed?.createdAt ?? null, record?.failure ?? null]);
}

/** The same report asks for the same request, however often it comes, as long as that has not failed. */
async function replace(
  kid: string,
  { clients, marks }: Asked,
  { claimedBy, address, reason, takeOver, confirm }: LeakReport,
  context: ApiContext,
): Promise<Replacement> {
  const { resources, queues } = context;
  const refs = [...clients].sort();
  const about = JSON.stringify([resources.store.id, kid, takeOver, confirm, [...marks].sort()]);
  const request = `leak-${hash('sha256', about, 'base64url')}`;
  const wanted: RequestInput = {
    v: 1,
    select: { clients: refs },
    ...{ reason, actor: claimedBy, compromised: { kid }, take_over: takeOver, confirm },
  };
  // It was held back by the breaker, or could not be begun, and is reported again: what stood in the way may be gone.
  if ((await requestState(queues, request)).is === 'failed') await queues.requests.remove(request).catch(() => {});
  await enqueue({ request: wanted, id: request, claimedBy, call: { route: 'POST /v1/leaks', address } }, context);
  return { kid, request, clients: refs, rotations: null, error: null };
}

async function answered(one: Replacement, { queues }: ApiContext, signal: AbortSignal): Promise<Replacement> {
  let waitsFor: string | null = null;
  const onRetry = (why: string) => {
    waitsFor = why;
  };
  try {
    const result = await requestResult(queues, one.request, { signal, ms: PATIENCE_MS, onRetry });
    if (result === null) return { ...one, error: waitsFor };
    const { rotations, errors = [] } = result as RequestResult; // what `fanOut` returns, through JSON
    const error = errors.length === 0 ? null : errors.map(({ client, message }) => `${client}: ${message}`).join(' ');
    return { ...one, rotations: new Map(rotations.map(({ client, id }) => [client, id])), error };
  } catch (error) {
    if (!hasCode(error, 'request_failed')) throw error;
    return { ...one, error: messageOf(error) };
  }
}
