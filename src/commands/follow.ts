/** Watches rotations in their records until they came to what is waited for. */
import type { ClientRef } from '../core/client.ts';
import type { RotationState, RotationSummary } from '../core/history.ts';
import type { ClientRecord } from '../core/record.ts';
import { rotationError } from '../core/state.ts';
import { pagesOf } from '../parallel.ts';
import { type ExposureStatus, exposureOf } from '../status/client/exposure.ts';
import { summaryOf } from '../status/client/rotations.ts';
import type { Loaded } from '../store/records.ts';
import { answerOf, type Patience } from '../store/redis/patience.ts';
import type { Store } from '../store/store.ts';
import { sleep } from '../time.ts';

/** `active`: the new key signs in and is in use. `finished`: the old one is gone too. */
export type Goal = 'active' | 'finished';

/** `id`: of the rotation. */
interface Followed {
  readonly id: string;
  readonly client: ClientRef;
}

export interface RotationOutcome {
  readonly id: string;
  readonly client: ClientRef;
  readonly state: RotationState;
  readonly strategy: string;
  readonly kid: string | null;
  readonly replaces: string | null;
  readonly error: string | null;
  /** Its key is offered to the application, and waits for that. */
  readonly offered: boolean;
  /** What is known of the key that was reported; absent when none was. */
  readonly exposure?: ExposureStatus;
}

/** Told while rotations are followed. */
export interface Follower {
  /** A rotation moved on. @param phase of the rotation, or its state @param why what went wrong; a step that failed is tried again while the state is `running` */
  moved(outcome: RotationOutcome, phase: string, why: string | null): void;
  /** It came to what is waited for, or to nothing. Once for each. */
  ended(outcome: RotationOutcome): void;
  /** After each look at all that have not ended. */
  looked(): void;
}

const POLL_MS = 200;

/** A client with a rotation that waits costs one question a look: of a large fleet they are asked more rarely, so that Redis has time for the workers. */
const POLL_MS_PER_CLIENT = 0.1;

const MEANWHILE = 'The rotations go on when Redis is back; `rekeyd status` then shows how far they are.';

/** What was last seen of a rotation that has not ended. */
interface Seen {
  readonly op: string | null;
  readonly line: string;
  readonly outcome: RotationOutcome;
}

/**
 * Returns when all have ended, or `patience.signal` aborted: then the others are told as `ended` as far as they came.
 * @throws RekeydError `redis_unreachable`
 */
export async function follow(
  store: Pick<Store, 'lastOp' | 'loadMany' | 'history'>,
  rotations: readonly Followed[],
  goal: Goal,
  patience: Patience,
  follower: Follower,
): Promise<void> {
  /** By rotation. */
  const seen = new Map<string, Seen>();
  let waiting = rotations;
  for (;;) {
    const left: Followed[] = [];
    for (const page of pagesOf(waiting)) {
      const { aborted } = patience.signal;
      const committed = aborted ? null : await answerOf(committedSince(store, page, seen), patience, MEANWHILE);
      if (committed === null) {
        left.push(...page);
        continue;
      }
      for (const followed of page) {
        const loaded = committed.get(followed.id);
        const goesOn = loaded === undefined || (await look(store, followed, loaded, goal, seen, follower));
        if (goesOn) left.push(followed);
        else seen.delete(followed.id);
      }
    }
    waiting = left;
    follower.looked();
    if (waiting.length === 0 || patience.signal.aborted) break;
    await sleep(Math.max(POLL_MS, waiting.length * POLL_MS_PER_CLIENT), patience.signal);
  }
  for (const { id, client } of waiting) follower.ended(seen.get(id)?.outcome ?? notSeen(id, client));
}

/** @param loaded null: nobody knows the client any more @returns whether it has to be looked at again */
async function look(
  store: Pick<Store, 'history'>,
  { id, client }: Followed,
  loaded: Loaded | null,
  goal: Goal,
  seen: Map<string, Seen>,
  { moved, ended }: Follower,
): Promise<boolean> {
  const record = loaded?.record;
  const outcome = outcomeOf(id, client, record, await summaryOf(store, id, client, record));
  const { phase, why } = progressOf(outcome, record);
  const line = `${phase} ${why}`;
  if (seen.get(id)?.line !== line) moved(outcome, phase, why);
  seen.set(id, { op: loaded?.op ?? null, line, outcome });
  if (!hasEnded(outcome, goal) && record?.halted == null) return true;
  ended(outcome);
  return false;
}

/** By rotation: the clients that were committed since they were looked at; null for one that is not known. Most of a large fleet rests, and is not loaded. */
async function committedSince(
  store: Pick<Store, 'lastOp' | 'loadMany'>,
  rotations: readonly Followed[],
  seen: ReadonlyMap<string, Seen>,
): Promise<ReadonlyMap<string, Loaded | null>> {
  const ops = await Promise.all(rotations.map(({ client }) => store.lastOp(client)));
  const committed = rotations.filter(({ id }, at) => ops[at] !== seen.get(id)?.op);
  const loaded = await store.loadMany(committed.map(({ client }) => client));
  return new Map(committed.map(({ id, client }) => [id, loaded.get(client) ?? null]));
}

export function isGood({ state, error, offered }: RotationOutcome, goal: Goal): boolean {
  return error === null && (offered || state === 'finished' || (state === 'active' && goal === 'active'));
}

function hasEnded({ state, offered }: RotationOutcome, goal: Goal): boolean {
  if (offered) return true;
  return state === 'active' ? goal === 'active' : state !== 'running';
}

function outcomeOf(
  id: string,
  client: ClientRef,
  record: ClientRecord | undefined,
  summary: RotationSummary | undefined,
): RotationOutcome {
  if (summary === undefined) {
    const error = 'the history no longer tells of this rotation';
    return { id, client, state: 'failed', strategy: '', kid: null, replaces: null, error, offered: false };
  }
  const { state, strategy, kid, replaces, error } = summary;
  const offered = record?.rotation?.id === id && record.rotation.phase.name === 'offered';
  const exposure = exposureOf(summary);
  return { id, client, state, strategy, kid, replaces, error, offered, ...(exposure !== null && { exposure }) };
}

/** Nobody has looked at it yet. */
function notSeen(id: string, client: ClientRef): RotationOutcome {
  return { id, client, state: 'running', strategy: '', kid: null, replaces: null, error: null, offered: false };
}

/** The phase, and what the step under way last failed with. */
function progressOf({ id, state, error }: RotationOutcome, record: ClientRecord | undefined) {
  const rotation = record?.rotation ?? null;
  const isUnderWay = rotation !== null && rotation.id === id && state === 'running';
  const phase: string = isUnderWay ? rotation.phase.name : state;
  return { phase, why: error ?? (record !== undefined && isUnderWay ? rotationError(record) : null) };
}
