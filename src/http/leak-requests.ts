/** The requests that a report of leaked keys comes to: one for each key, through the queue as any other. */
import { hash } from 'node:crypto';
import { requestState } from '../../jobs/result.ts';
import type { RequestInput } from '../../jobs/schemas.ts';
import type { ClientRef } from '../core/client.ts';
import { hasCode, messageOf } from '../errors.ts';
import type { Candidate } from '../rotation/owners.ts';
import { enqueue } from './enqueue.ts';
import type { LeakReport } from './leaks.ts';
import { resultOf, soon } from './patience.ts';
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
      return byKid(await Promise.all(sent.map((one) => answered(one, context, report.signal))));
    },
  };
}

function byKid(replacements: readonly Replacement[]): ReadonlyMap<string, Replacement> {
  return new Map(replacements.map((one) => [one.kid, one]));
}

/** Another one for another leak of the same key at the same client: the key was imported again, or its replacement failed. */
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
  // The breaker held it back, or it could not be begun. It is asked for again, because the cause may be gone.
  if ((await requestState(queues, request)).is === 'failed') await queues.requests.remove(request).catch(() => {});
  await enqueue({ request: wanted, id: request, claimedBy, call: { route: 'POST /v1/leaks', address } }, context);
  return { kid, request, clients: refs, rotations: null, error: null };
}

async function answered(one: Replacement, { queues }: ApiContext, gone: AbortSignal): Promise<Replacement> {
  try {
    const { result, waitsFor } = await resultOf(queues, one.request, gone);
    if (result === null) return { ...one, error: waitsFor };
    const { rotations, errors = [] } = result;
    const error = errors.length === 0 ? null : errors.map(({ client, message }) => `${client}: ${message}`).join(' ');
    return { ...one, rotations: new Map(rotations.map(({ client, id }) => [client, id])), error };
  } catch (error) {
    if (!hasCode(error, 'request_failed')) throw error;
    return { ...one, error: messageOf(error) };
  }
}
