/** What is said of rotations while somebody waits for them, and at the end: as a summary and a table, failures first. */
import { formatDuration } from '../core/duration.ts';
import type { RotationState } from '../core/history.ts';
import { type ExposureStatus, exposureSummary } from '../status/client/exposure.ts';
import { type Follower, type Goal, isGood, type RotationOutcome } from './follow.ts';
import { print, printTable } from './output.ts';
import type { Counts, Progress } from './progress.ts';

export interface WatchOptions {
  readonly goal: Goal;
  readonly total: number;
  /** A line for each step, and in the end for each client. */
  readonly verbose: boolean;
  /** All outcomes are wanted, for a document. */
  readonly json: boolean;
}

export interface Watch extends Follower {
  /** Those that were kept, failures first: of a large fleet only those that are not as they should be. */
  outcomes(): readonly RotationOutcome[];
  /** How many came to each outcome. */
  counts(): ReadonlyMap<Outcome, number>;
  /** Of the keys that were reported. */
  exposures(): readonly ExposureStatus[];
  readonly isGood: boolean;
}

/** What a person is told a rotation came to. */
export type Outcome = RotationState | 'offered';

/** So few are all listed. */
const FEW = 20;

/** So many failures are told one by one while others go on. All of them are in the table. */
const MOST_TOLD = 20;

/** What needs a person first. */
const ORDER: readonly Outcome[] = ['failed', 'rolled_back', 'running', 'offered', 'active', 'finished'];

export function watchRotations(options: WatchOptions, progress: Progress): Watch {
  const { goal, total, verbose, json } = options;
  const keepsAll = json || verbose || total <= FEW;
  const kept: RotationOutcome[] = [];
  const ended = new Map<Outcome, number>();
  const exposures: ExposureStatus[] = [];
  const standing = openStanding();
  let [told, good] = [0, 0];

  function tellFailure(line: string): void {
    told += 1;
    if (told <= MOST_TOLD) progress.tell(line);
    else if (told === MOST_TOLD + 1) progress.tell('More has failed: it is counted here, and listed at the end.');
  }

  return {
    moved(outcome, phase, why) {
      const { client } = outcome;
      const line = why === null ? `${client}  ${phase}` : `${client}  ${phase}: ${why}`;
      const isNews = standing.note(outcome, phase, why);
      if (verbose) progress.tell(line);
      else if (isNews) tellFailure(line);
    },
    ended(outcome) {
      standing.forget(outcome);
      ended.set(outcomeOf(outcome), (ended.get(outcomeOf(outcome)) ?? 0) + 1);
      good += isGood(outcome, goal) ? 1 : 0;
      if (outcome.exposure !== undefined) exposures.push(outcome.exposure);
      if (keepsAll || !isGood(outcome, goal)) kept.push(outcome);
    },
    looked() {
      const failed = [...ended.values()].reduce((sum, count) => sum + count, 0) - good;
      progress.show({ total, done: good, failed, ...standing.counts() });
    },
    outcomes: () => kept.toSorted((a, b) => rankOf(a, goal) - rankOf(b, goal) || (a.client < b.client ? -1 : 1)),
    counts: () => ended,
    exposures: () => exposures,
    get isGood() {
      return good === total;
    },
  };
}

/** Where those stand that have not ended. Also knows which errors were seen: where an API is away, every client says the same. */
function openStanding() {
  const active = new Set<string>();
  const underWay = new Set<string>();
  const retrying = new Set<string>();
  const errors = new Set<string>();

  function move(id: string, into: Set<string> | null): void {
    for (const set of [active, underWay]) if (set !== into) set.delete(id);
    into?.add(id);
  }

  return {
    /** @returns whether it is an error that was not seen yet */
    note({ id, client, state }: RotationOutcome, phase: string, why: string | null): boolean {
      move(id, state === 'active' ? active : state === 'running' && phase !== 'requested' ? underWay : null);
      if (why !== null && state === 'running') retrying.add(id);
      else retrying.delete(id);
      if (why === null) return false;
      if (state !== 'running') return true;
      const error = `${phase}: ${why.replaceAll(client, 'CLIENT')}`;
      const isNew = !errors.has(error) && errors.size <= MOST_TOLD;
      if (isNew) errors.add(error);
      return isNew;
    },
    forget({ id }: RotationOutcome): void {
      move(id, null);
      retrying.delete(id);
    },
    counts: (): Pick<Counts, 'active' | 'underWay' | 'retrying'> => ({
      active: active.size,
      underWay: underWay.size,
      retrying: retrying.size,
    }),
  };
}

function outcomeOf({ state, offered }: RotationOutcome): Outcome {
  return offered ? 'offered' : state;
}

/** Failures first. */
function rankOf(outcome: RotationOutcome, goal: Goal): number {
  return ORDER.indexOf(outcomeOf(outcome)) + (isGood(outcome, goal) ? ORDER.length : 0);
}

/** Clients for which nothing was started. */
type Refused = readonly { readonly client: string; readonly message: string }[];

/** @param ms how long it took */
export function printOutcomes(watch: Watch, refused: Refused, ms: number): void {
  const counts = watch.counts();
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const parts = ORDER.flatMap((outcome) => {
    const count = counts.get(outcome) ?? 0;
    return count === 0 ? [] : [`${count} ${outcome}`];
  });
  if (refused.length > 0) parts.unshift(`${refused.length} not started`);
  const rotations = total === 1 ? '1 rotation' : `${total} rotations`;
  print(`${rotations} in ${formatDuration(Math.max(1_000, ms))}: ${parts.join(', ')}`);
  for (const line of exposureSummary(watch.exposures())) print(line);
  const rows = watch.outcomes().map((one) => [one.client, one.id, one.strategy, outcomeOf(one), one.error ?? '']);
  const failures = refused.map(({ client, message }) => [client, '', '', 'not started', message]);
  const all = [...failures, ...rows];
  if (all.length > 0) printTable(['CLIENT', 'ROTATION', 'STRATEGY', 'OUTCOME', 'ERROR'], all);
  if (rows.length < total) print('Those that went well are not listed: --verbose lists them.');
}
