/** Watches rotations in their records until they came to what is waited for. */
import type { ClientRef } from '../core/client.ts';
import type { RotationState, RotationSummary } from '../core/history.ts';
import type { ClientRecord } from '../core/record.ts';
import { runningSummary } from '../core/rotation.ts';
import { rotationError } from '../core/state.ts';
import { pagesOf } from '../parallel.ts';
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
}

const POLL_MS = 200;

const MEANWHILE = 'The rotations go on when Redis is back; `rekeyd status` then shows how far they are.';

/**
 * @param tell one line each time that a client's rotation moves on
 * @returns what is known of each, also when `patience.signal` aborted before all of them came to it
 * @throws RekeydError `redis_unreachable`
 */
export async function follow(
  store: Pick<Store, 'lastOp' | 'loadMany' | 'history'>,
  rotations: readonly Followed[],
  goal: Goal,
  patience: Patience,
  tell: (line: string) => void,
): Promise<readonly RotationOutcome[]> {
  const outcomes = new Map<string, RotationOutcome>();
  const told = new Map<string, string>();
  /** By rotation: the last commit of its client that was looked at. */
  const seen = new Map<string, string | null>();
  let waiting = rotations;
  for (;;) {
    const left: Followed[] = [];
    for (const page of pagesOf(waiting)) {
      const committed = await answerOf(committedSince(store, page, seen), patience, MEANWHILE);
      if (committed === null) break;
      left.push(...page.filter(({ id }) => !committed.has(id)));
      for (const { id, client } of page.filter(({ id }) => committed.has(id))) {
        const loaded = committed.get(id);
        seen.set(id, loaded?.op ?? null);
        const record = loaded?.record;
        const outcome = outcomeOf(id, client, record, await summaryOf(store, id, client, record));
        const line = `${client}  ${progressOf(outcome, record)}`;
        if (told.get(client) !== line) tell(line);
        told.set(client, line);
        outcomes.set(id, outcome);
        if (!hasEnded(outcome, goal) && record?.halted == null) left.push({ id, client });
      }
    }
    waiting = left;
    if (waiting.length === 0 || patience.signal.aborted) break;
    await sleep(POLL_MS, patience.signal);
  }
  return rotations.map(({ id, client }) => outcomes.get(id) ?? notSeen(id, client));
}

/** By rotation: the clients that were committed since they were looked at; null for one that is not known. Most of a large fleet rests, and is not loaded. */
async function committedSince(
  store: Pick<Store, 'lastOp' | 'loadMany'>,
  rotations: readonly Followed[],
  seen: ReadonlyMap<string, string | null>,
): Promise<ReadonlyMap<string, Loaded | null>> {
  const ops = await Promise.all(rotations.map(({ client }) => store.lastOp(client)));
  const committed = rotations.filter(({ id }, at) => ops[at] !== seen.get(id));
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

/** In the record while it is under way or its old key is on its way out, and in the history after that. */
async function summaryOf(
  store: Pick<Store, 'history'>,
  id: string,
  client: ClientRef,
  record: ClientRecord | undefined,
): Promise<RotationSummary | undefined> {
  if (record?.rotation?.id === id) return runningSummary(record, record.rotation);
  const leaving = record?.retirements.find(({ rotation, role }) => rotation.id === id && role === 'replaced');
  return leaving?.rotation ?? (await store.history(client)).find((summary) => summary.id === id);
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
  return { id, client, state, strategy, kid, replaces, error, offered };
}

/** Nobody has looked at it yet. */
function notSeen(id: string, client: ClientRef): RotationOutcome {
  return { id, client, state: 'running', strategy: '', kid: null, replaces: null, error: null, offered: false };
}

/** The phase, and beside it what the step under way last failed with. */
function progressOf({ id, state, error }: RotationOutcome, record: ClientRecord | undefined): string {
  const rotation = record?.rotation ?? null;
  const isUnderWay = rotation !== null && rotation.id === id && state === 'running';
  const phase = isUnderWay ? rotation.phase.name : state;
  const why = error ?? (record !== undefined && isUnderWay ? rotationError(record) : null);
  return why === null ? phase : `${phase}: ${why}`;
}
