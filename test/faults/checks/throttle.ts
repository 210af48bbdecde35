/**
 * A server that says when to come back is not asked for a change until then: not for the client that it said so for, and not by a run on any other
 * client of the deployment that begins in the meantime. That is what BullMQ's limiter promises; a run that had begun before may still send its one
 * PATCH, a worker that died with the answer in its hands has told nobody, and a Redis that lost it in a power cut cannot tell anybody any more.
 */
import type { LogEntry } from '../../emulator/log.ts';
import type { Check, Violation } from '../checker.ts';
import type { Evidence } from '../evidence.ts';
import type { Event } from '../history.ts';

/** Clocks are read at both ends. */
const EARLY_MS = 20;

/** From the commit that takes the answer in, until every worker knows that the queue is limited. */
const SPREAD_MS = 250;

/** A fault of Redis is written down when it begins, and one of these takes no longer. */
const FAULT_MS = 2_000;

/** Redis lost what it had not confirmed to be on disk. */
const FORGETTING = /^(the power cut lost [1-9]|failover)/;

type Window = Extract<Event, { kind: 'throttled' }>;

/** What may keep a worker from telling the others. */
const DISTURBING: readonly Event['kind'][] = ['kill', 'worker', 'lock_loss', 'redis'];

export const throttleIsRespected: Check = (evidence) => {
  const { events, requests, ends } = evidence;
  const refs = new Map(ends.map(({ client }) => [client.id, client.ref]));
  const claims = Map.groupBy(
    events.filter((event) => event.kind === 'claim'),
    ({ ref }) => ref,
  );
  return events.flatMap((window) => {
    if (window.kind !== 'throttled') return [];
    const from = heardAt(window, refs.get(window.client ?? ''), events);
    if (from === null) return [];
    const isSpread = !isDisturbed(window.at, from + SPREAD_MS, events);
    const until = Math.min(window.until - EARLY_MS, forgottenAt(from, events));
    return requests.flatMap((request): Violation[] => {
      const { method, at, deployment, client } = request;
      if (method !== 'PATCH' || deployment !== window.deployment || at <= from || at >= until) return [];
      const ref = refs.get(client ?? '') ?? null;
      const mayCome = client !== window.client && (!isSpread || beganAt(at, claims.get(ref ?? '')) <= from + SPREAD_MS);
      return mayCome ? [] : [{ rule: 'retry_after', ref, message: tooEarly(request, window) }];
    });
  });
};

function tooEarly({ method, path, at }: LogEntry, window: Window): string {
  return `${method} ${path} came ${at - window.at} ms after a 429, ${window.until - at} ms too early`;
}

/** When the answer was taken in: by the first change of its client, unless somebody else took over before, or the same PATCH was sent anew. */
function heardAt(window: Window, ref: string | undefined, events: Evidence['events']): number | null {
  const next = events.find(
    (event) => (event.kind === 'commit' || event.kind === 'claim') && event.ref === ref && event.at >= window.at,
  );
  if (next?.kind !== 'commit') return null;
  return next.drafts.some((draft) => JSON.parse(draft).type === 'key.publishing') ? null : next.at;
}

/** When the run that sent something at `at` had begun. */
function beganAt(at: number, claims: readonly Event[] = []): number {
  return claims.findLast((claim) => claim.at <= at)?.at ?? Number.NEGATIVE_INFINITY;
}

function forgottenAt(from: number, events: Evidence['events']): number {
  const loss = events.find((event) => event.kind === 'redis' && event.at > from && FORGETTING.test(event.fault));
  return loss?.at ?? Number.POSITIVE_INFINITY;
}

function isDisturbed(from: number, to: number, events: Evidence['events']): boolean {
  return events.some(({ kind, at }) => DISTURBING.includes(kind) && at > from - FAULT_MS && at < to);
}
