/**
 * Waves. A wave is what one sweep of a policy finds due. Of a large wave, and of one that changes alg or format, a part goes first: its cohort. The rest
 * follows when the cohort signs in with its new keys. A mistake in a policy then costs a part of the fleet one rotation, and not the whole fleet.
 */
import { type ClientRef, splitReference } from './client.ts';
import { formatDuration } from './duration.ts';
import { chosenAlg, presentAlg, presentFormat } from './obstacle.ts';
import type { ClientPolicy } from './policy.ts';
import type { ClientRecord } from './record.ts';
import type { Rotation } from './rotation.ts';

export interface CohortPolicy {
  /** How much of a wave goes first, in percent; at least one client. */
  readonly firstPercent: number;
  /** How long after the cohort was begun the rest may follow, in ms. */
  readonly thenMs: number;
  /** Once the rotations of so many clients failed, nothing more of the wave begins. */
  readonly stopAfter: number;
}

/** Names a wave: the policy of the sweep that began it, and an id. */
export interface WaveRef {
  readonly policy: string;
  readonly id: string;
}

/** What a rotation of a wave came to. `active`: its new key is proven. `failed`: it failed, was rolled back, or halted its client. */
export interface WaveOutcome {
  readonly wave: WaveRef;
  readonly outcome: 'active' | 'failed';
}

/** A wave as the store has it. A policy has one at a time. Counts are of clients. */
export interface Wave {
  readonly id: string;
  /** `cohort`: only the cohort is begun. `rest`: the others are being begun. `stopped`: nothing is begun until a person resumes. */
  readonly phase: 'cohort' | 'rest' | 'stopped';
  /** When the last client of the cohort was chosen, in ms since the epoch on the store's clock. */
  readonly startedAt: number;
  /** How many were due when it began, and how many of them go first. */
  readonly found: number;
  readonly first: number;
  /** Of the cohort: chosen so far, chosen and neither active nor failed yet, active. */
  readonly chosen: number;
  readonly waiting: number;
  readonly active: number;
  /** Of the whole wave. */
  readonly failed: number;
  /** How many had failed when a person last resumed the wave: these do not stop it again. */
  readonly forgiven: number;
  /** Why it stopped; null when it did not. */
  readonly why: string | null;
}

/** From this many clients on a wave has a cohort. */
const LARGE_WAVE = 20;

/** A cohort that has not ended this long after the rest should have followed, in ms, stops its wave: somebody has to look. */
const LONGEST_COHORT_MS = 24 * 60 * 60_000;

/** How many of the due clients go first: all of them where no cohort is needed. */
export function cohortSize(due: number, changesForm: boolean, { firstPercent }: CohortPolicy): number {
  if (due < LARGE_WAVE && !changesForm) return due;
  return Math.min(due, Math.max(1, Math.floor((due * firstPercent) / 100)));
}

/** True when the next rotation of this client changes how it signs or how its key is published: the kind of change that fails for all clients or for none. */
export function changesForm(record: ClientRecord, policy: Pick<ClientPolicy, 'alg' | 'format'>): boolean {
  const isOtherFormat = policy.format !== 'keep' && policy.format !== presentFormat(record);
  return isOtherFormat || chosenAlg(record, policy) !== presentAlg(record);
}

/**
 * The cohort: the longest due clients of each app in turn. Apps may have different servers, so a cohort of one app would say nothing about the others.
 * @param due the longest due first
 */
export function cohortOf(due: readonly ClientRef[], size: number): readonly ClientRef[] {
  const apps = new Map<string, ClientRef[]>();
  for (const ref of due) {
    const { deployment, app } = splitReference(ref);
    const place = `${deployment}/${app}`;
    const line = apps.get(place);
    if (line === undefined) apps.set(place, [ref]);
    else line.push(ref);
  }
  const chosen: ClientRef[] = [];
  let lines = [...apps.values()];
  for (let turn = 0; lines.length > 0 && chosen.length < size; turn += 1) {
    for (const line of lines) {
      const ref = line[turn];
      if (ref !== undefined && chosen.length < size) chosen.push(ref);
    }
    lines = lines.filter((line) => line.length > turn + 1);
  }
  return chosen;
}

export type WaveStep =
  /** Nothing beyond the cohort is begun. `until`: in ms since the epoch; null: until a person resumes the wave. */
  | { readonly do: 'hold'; readonly until: number | null }
  | { readonly do: 'stop'; readonly why: string }
  /** The cohort signs in: the others are begun. */
  | { readonly do: 'follow' }
  /** Of the cohort none was rotated, because none was due any more. Nothing was learned, so the next wave has another cohort. */
  | { readonly do: 'forget' };

/** What is to be done about a wave now. */
export function waveStep(wave: Wave, { thenMs, stopAfter }: CohortPolicy, now: number): WaveStep {
  const { phase, startedAt, first, waiting, active, failed, forgiven } = wave;
  if (phase === 'stopped') return { do: 'hold', until: null };
  if (failed - forgiven >= stopAfter) return { do: 'stop', why: whyFailed(wave) };
  if (phase === 'rest') return { do: 'follow' };
  const followsAt = followTime(startedAt, thenMs);
  if (now < followsAt) return { do: 'hold', until: followsAt };
  if (waiting === 0) return { do: active === 0 && failed === 0 ? 'forget' : 'follow' };
  const endsAt = followsAt + LONGEST_COHORT_MS;
  if (now < endsAt) return { do: 'hold', until: endsAt };
  const since = formatDuration(now - startedAt);
  return { do: 'stop', why: `${waiting} of the ${first} rotations that went first have not ended after ${since}` };
}

/** When the rest of a wave may follow, in ms since the epoch. */
export function followTime(startedAt: number, thenMs: number): number {
  return startedAt + thenMs;
}

function whyFailed({ phase, failed, forgiven, first }: Wave): string {
  const count = failed - forgiven;
  const which =
    phase === 'cohort'
      ? `${count} of ${first} rotations that went first`
      : `${count} ${count === 1 ? 'rotation' : 'rotations'}`;
  return `${which} failed or ${count === 1 ? 'was' : 'were'} rolled back`;
}

/** What a person does about a wave that stopped. */
export function howToResume(policy: string): string {
  return `find out why, then \`rekeyd resume --policy ${policy}\` goes on with the rest`;
}

/** The part of a transition that says what a rotation of a wave came to; empty for one of no wave. */
export function counted(
  { wave }: Pick<Rotation, 'wave'>,
  outcome: WaveOutcome['outcome'],
): { readonly counted?: WaveOutcome } {
  return wave === undefined ? {} : { counted: { wave, outcome } };
}
