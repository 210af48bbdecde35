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

export interface RotationOutcome {
  readonly id: string;
  readonly client: ClientRef;
  readonly state: RotationState;
  readonly strategy: string;
  readonly kid: string | null;
  readonly replaces: string | null;
  readonly error: string | null;
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
  rotations: readonly { readonly id: string; readonly client: ClientRef }[],
  goal: Goal,
  patience: Patience,
  tell: (line: string) => void,
): Promise<readonly RotationOutcome[]> {
  const outcomes = new Map<string, RotationOutcome>();
  const told = new Map<string, string>();
  /** The last commit of each client that was looked at. */
  const seen = new Map<ClientRef, string | null>();
  let waiting = rotations;
  for (;;) {
    const left: (typeof waiting)[number][] = [];
    const looked = new Map<ClientRef, string | null>();
    for (const page of pagesOf(waiting)) {
      const refs = page.map(({ client }) => client);
      const moved = await answerOf(loadMoved(store, refs, seen), patience, MEANWHILE);
      if (moved === null) break;
      for (const { id, client } of page) {
        const loaded = moved.get(client);
        if (loaded === undefined) {
          left.push({ id, client });
          continue;
        }
        looked.set(client, loaded?.op ?? null);
        const record = loaded?.record;
        const outcome = outcomeOf(id, client, await summaryOf(store, id, client, record));
        const line = `${client}  ${progressOf(outcome, record)}`;
        if (told.get(client) !== line) tell(line);
        told.set(client, line);
        outcomes.set(id, outcome);
        if (!hasEnded(outcome, goal) && record?.halted == null) left.push({ id, client });
      }
    }
    for (const [client, op] of looked) seen.set(client, op);
    waiting = left;
    if (waiting.length === 0 || patience.signal.aborted) break;
    await sleep(POLL_MS, patience.signal);
  }
  return rotations.map(({ id, client }) => outcomes.get(id) ?? notSeen(id, client));
}

/**
 * Those of `refs` that were committed since; null for a client that is not known. Most of a fleet rests while one page of it moves: loading all of it each
 * time took more memory than all else that this command does.
 */
async function loadMoved(
  store: Pick<Store, 'lastOp' | 'loadMany'>,
  refs: readonly ClientRef[],
  seen: ReadonlyMap<ClientRef, string | null>,
): Promise<ReadonlyMap<ClientRef, Loaded | null>> {
  const ops = await Promise.all(refs.map((ref) => store.lastOp(ref)));
  const moved = refs.filter((ref, at) => ops[at] !== seen.get(ref));
  const loaded = await store.loadMany(moved);
  return new Map(moved.map((ref) => [ref, loaded.get(ref) ?? null]));
}

export function isGood({ state, error }: RotationOutcome, goal: Goal): boolean {
  return error === null && (state === 'finished' || (state === 'active' && goal === 'active'));
}

function hasEnded({ state }: RotationOutcome, goal: Goal): boolean {
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

function outcomeOf(id: string, client: ClientRef, summary: RotationSummary | undefined): RotationOutcome {
  if (summary === undefined) {
    const error = 'the history no longer tells of this rotation';
    return { id, client, state: 'failed', strategy: '', kid: null, replaces: null, error };
  }
  const { state, strategy, kid, replaces, error } = summary;
  return { id, client, state, strategy, kid, replaces, error };
}

/** Nobody has looked at it yet. */
function notSeen(id: string, client: ClientRef): RotationOutcome {
  return { id, client, state: 'running', strategy: '', kid: null, replaces: null, error: null };
}

/** The phase, and beside it what the step under way last failed with. */
function progressOf({ id, state, error }: RotationOutcome, record: ClientRecord | undefined): string {
  const rotation = record?.rotation ?? null;
  const isUnderWay = rotation !== null && rotation.id === id && state === 'running';
  const phase = isUnderWay ? rotation.phase.name : state;
  const why = error ?? (record !== undefined && isUnderWay ? rotationError(record) : null);
  return why === null ? phase : `${phase}: ${why}`;
}
