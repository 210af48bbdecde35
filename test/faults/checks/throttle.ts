/**
 * A server that says when to come back is not asked for a change until then, and no client is looked at. The worker that hears it tells the store, and from then
 * on nobody gets a turn. One that was given its turn before may still send its one PATCH; one that died with the answer in its hands has told nobody; and a Redis
 * that lost it in a power cut cannot tell anybody any more.
 */
import { isLook, type LogEntry } from '../../emulator/log.ts';
import type { Evidence } from '../evidence/evidence.ts';
import type { Event } from '../evidence/history.ts';
import type { Check, Violation } from './checker.ts';
import { SAME_MS } from './clocks.ts';
import { carriesKeys } from './keys.ts';
import { hadItsTurn, isOfEarlierRun } from './turns.ts';

/** Clocks are read at both ends. */
const EARLY_MS = 20;

/** An answer that comes so long after the arrival of its call, in ms, may not be heard: a call has 1 s from when it is sent, and a busy machine is slow at both ends. */
const LATE_MS = 300;

type Wish = Extract<Event, { kind: 'throttled' }>;

export const throttleIsRespected: Check = (evidence) => {
  const refs = new Map(evidence.ends.map(({ client }) => [client.id, client.ref]));
  return evidence.events.flatMap((wish) => {
    if (wish.kind !== 'throttled') return [];
    const told = evidence.events.find((event) => isTold(event, wish));
    return [...untold(wish, told, refs.get(wish.client ?? '') ?? null, evidence), ...early(wish, told, refs, evidence)];
  });
};

function isTold(event: Event, { deployment, at, until }: Wish): boolean {
  if (event.kind !== 'left_alone' || event.deployment !== deployment) return false;
  return event.at >= at - SAME_MS && event.until >= until - EARLY_MS;
}

/** The worker that heard the answer has gone on with it, and the store was never told. */
function untold(wish: Wish, told: Event | undefined, ref: string | null, evidence: Evidence): Violation[] {
  const { events, requests } = evidence;
  const next = events.find(
    (event) =>
      (event.kind === 'claim' || (event.kind === 'commit' && !isRequest(event) && !isAmendment(event, events))) &&
      event.ref === ref &&
      event.at >= wish.at,
  );
  // Somebody else took over before.
  if (next?.kind !== 'commit' || (told !== undefined && told.at <= next.at)) return [];
  if (isUnheard(wish, ref, next.at, evidence)) return [];
  // It asked for the apps and was answered: the 429 was about that client alone.
  const isAlone = requests.some(({ method, path, status, at }) => {
    return (
      method === 'GET' && path.endsWith('/oauth/apps') && status === 200 && at >= wish.at - SAME_MS && at <= next.at
    );
  });
  if (isAlone) return [];
  return [{ rule: 'retry_after', ref, message: 'a 429 was heard, and the store was not told' }];
}

/** Another run has begun since the call that was answered so, or the answer came when perhaps nobody waited for it any more: too late, or to a frozen worker. True also where nobody saw what came of it. */
function isUnheard({ client, at }: Wish, ref: string | null, until: number, { events, requests }: Evidence): boolean {
  const call = requests.findLast((request) => {
    return request.client === client && request.status === 429 && request.at <= at + SAME_MS;
  });
  if (call === undefined || at - call.at >= LATE_MS) return true;
  return events.some((event) => {
    // Nobody read along before: whether the store was told is not known.
    if (event.kind === 'snapshot') return event.at >= at && event.at <= until;
    if (event.kind === 'frozen') return event.at <= until && event.at + event.ms >= call.at;
    return event.kind === 'claim' && event.ref === ref && event.at > call.at && event.at <= until;
  });
}

/** Somebody asks for a rotation, beside the worker that has the client. */
function isRequest({ drafts }: Extract<Event, { kind: 'commit' }>): boolean {
  return drafts.some((draft) => JSON.parse(draft).type === 'rotation.requested');
}

type Commit = Extract<Event, { kind: 'commit' }>;

/** A worker that was outrun notes that it does not know what stands outside: it has heard nothing, so no attempt is counted, and nothing waits. */
function isAmendment({ at, ref, drafts, record }: Commit, events: Evidence['events']): boolean {
  const before = events.findLast(
    (event): event is Commit => event.kind === 'commit' && event.ref === ref && event.at < at,
  );
  return drafts.length === 0 && triesIn(record) === triesIn(before?.record ?? '');
}

function triesIn(record: string): string {
  return [...record.matchAll(/"tries":\{[^}]*\}/g)].join();
}

function early(
  wish: Wish,
  told: Event | undefined,
  refs: ReadonlyMap<string, string>,
  evidence: Evidence,
): Violation[] {
  if (told === undefined) return [];
  const until = Math.min(wish.until - EARLY_MS, forgottenAt(told.at, wish, evidence.events));
  return evidence.requests.flatMap((request): Violation[] => {
    const { at, deployment, client } = request;
    if (deployment !== wish.deployment || at <= told.at + SAME_MS || at >= until) return [];
    const ref = refs.get(client ?? '') ?? null;
    if (ref === null || (!carriesKeys(request) && !isLook(request))) return [];
    const isDue = carriesKeys(request) ? hadItsTurn : isOfEarlierRun;
    if (isDue(request, ref, told.at, evidence)) return [];
    return [{ rule: 'retry_after', ref, message: tooEarly(request, wish) }];
  });
}

function tooEarly({ method, path, at }: LogEntry, wish: Wish): string {
  return `${method} ${path} came ${at - wish.at} ms after a 429, ${wish.until - at} ms too early`;
}

/** When a store was there that knew nothing of it. */
function forgottenAt(from: number, { deployment, until }: Wish, events: Evidence['events']): number {
  const loss = events.find((event) => {
    if (event.at <= from) return false;
    if (event.kind === 'store') return event.how === 'emptied';
    return event.kind === 'snapshot' && (event.leftAlone[deployment] ?? 0) < until - EARLY_MS;
  });
  return loss?.at ?? Number.POSITIVE_INFINITY;
}
