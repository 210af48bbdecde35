/** Watches rotations in their records until they came to what is waited for. */
import type { ClientRef } from '../core/client.ts';
import type { ClientRecord, RotationState } from '../core/record.ts';
import { answerOf, type Patience } from '../store/redis/patience.ts';
import type { Store } from '../store/store.ts';
import { sleep } from '../time.ts';

/** `active`: the new key signs in and is in use. `finished`: the old one is gone too. */
export type Goal = 'active' | 'finished';

export interface Outcome {
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
  store: Pick<Store, 'loadMany'>,
  rotations: readonly { readonly id: string; readonly client: ClientRef }[],
  goal: Goal,
  patience: Patience,
  tell: (line: string) => void,
): Promise<readonly Outcome[]> {
  const outcomes = new Map<string, Outcome>();
  const told = new Map<string, string>();
  let waiting = rotations;
  for (;;) {
    const refs = waiting.map(({ client }) => client);
    const loaded = await answerOf(store.loadMany(refs), patience, MEANWHILE);
    if (loaded === null) break;
    waiting = waiting.filter(({ id, client }) => {
      const record = loaded.get(client)?.record;
      const outcome = outcomeOf(id, client, record);
      const line = `${client}  ${progressOf(outcome, record)}`;
      if (told.get(client) !== line) tell(line);
      told.set(client, line);
      outcomes.set(id, outcome);
      return !hasEnded(outcome, goal) && record?.halted == null;
    });
    if (waiting.length === 0 || patience.signal.aborted) break;
    await sleep(POLL_MS, patience.signal);
  }
  return rotations.map(({ id, client }) => outcomes.get(id) ?? notSeen(id, client));
}

export function isGood({ state, error }: Outcome, goal: Goal): boolean {
  return error === null && (state === 'finished' || (state === 'active' && goal === 'active'));
}

function hasEnded({ state }: Outcome, goal: Goal): boolean {
  return state === 'active' ? goal === 'active' : state !== 'running';
}

function outcomeOf(id: string, client: ClientRef, record: ClientRecord | undefined): Outcome {
  const summary = record?.history.find((one) => one.id === id);
  if (summary === undefined) {
    const error = 'the record no longer tells of this rotation';
    return { id, client, state: 'failed', strategy: '', kid: null, replaces: null, error };
  }
  const { state, strategy, kid, replaces } = summary;
  return { id, client, state, strategy, kid, replaces, error: summary.error ?? record?.halted ?? null };
}

/** Nobody has looked at it yet. */
function notSeen(id: string, client: ClientRef): Outcome {
  return { id, client, state: 'running', strategy: '', kid: null, replaces: null, error: null };
}

/** The phase, and beside it what the step under way last failed with. */
function progressOf({ id, state, error }: Outcome, record: ClientRecord | undefined): string {
  const { rotation = null, lastError = null } = record ?? {};
  const phase = rotation !== null && rotation.id === id && state === 'running' ? rotation.phase.name : state;
  const why = error ?? lastError;
  return why === null ? phase : `${phase}: ${why}`;
}
