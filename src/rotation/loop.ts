/**
 * The loop: load the record, let the pure core say one step, do it, commit what it came to, again. Everything that matters is in the record, so this can be
 * killed anywhere and run again anywhere; jobs only wake it.
 */
import type { Action } from '../core/action.ts';
import type { ClientRef } from '../core/client.ts';
import { unknownDelivery } from '../core/delivering.ts';
import type { ClientPolicy } from '../core/policy.ts';
import { isPressing } from '../core/pressing.ts';
import type { ClientRecord } from '../core/record.ts';
import { incomingKid } from '../core/rotation.ts';
import { NO_TRACE, type Trace } from '../core/trace.ts';
import { SinkOutdated } from '../deliver/sink.ts';
import { messageOf } from '../errors.ts';
import type { Turn } from '../store/deployments.ts';
import type { Records } from '../store/records.ts';
import { monotonic, sleep } from '../time.ts';
import { type Change, commitOf, isOutrun } from './commit.ts';
import { NO_TURN } from './deployment.ts';
import type { Effects, Run } from './run.ts';
import { perform } from './steps.ts';
import { type CopyTools, type Next, type WorkingCopy, workingCopy } from './working-copy.ts';

export type RecordStore = Pick<Records, 'claim' | 'load' | 'commit'>;

export interface Tools extends CopyTools {
  readonly store: RecordStore;
  readonly effects: Effects;
  /** Asks the deployment's budget for one API call. */
  readonly turn: (urgent: boolean) => Promise<Turn>;
  /** Absent: nothing is traced. */
  readonly trace?: Trace;
  /** False: other jobs may wait, so a run that has done something leaves the standby key to a job for idle time. */
  readonly hasTime?: boolean;
  /** The policy by what is known of the server now. Absent: the run goes by the policy that it was given. */
  readonly policyNow?: () => Promise<ClientPolicy>;
  readonly onStep?: (action: Action, record: ClientRecord) => void;
}

/** How a run came to rest. `op`: the last commit that it saw; null for a client that is not known. */
export type Rest =
  /** `spare`: what is left is for a worker that has nothing else to do. */
  | { readonly kind: 'done'; readonly op: string | null; readonly spare?: true }
  | { readonly kind: 'wait'; readonly op: string; readonly ms: number; readonly why: string }
  /** Another worker works on this record. */
  | { readonly kind: 'outrun'; readonly why: string };

/** How often a folder may hold the set of a later claim before the delivery fails. The rest before each new try is up to `APART_MS`, in ms, times its number. */
const MOST_OUTDATED = 4;
const APART_MS = 50;

/** A turn that comes this soon, in ms, is waited for in place. */
const SHORT_WAIT_MS = 250;

/**
 * Works on one client until it has to wait, or is done.
 * @throws RekeydError as the store does; the next run goes on from the last commit
 */
export async function rotate(ref: ClientRef, policy: ClientPolicy, tools: Tools, signal: AbortSignal): Promise<Rest> {
  let leastEpoch = 0;
  let outdated: string | null = null;
  for (let round = 0; ; round += 1) {
    try {
      const askedAt = monotonic();
      const claimed = await tools.store.claim(ref, leastEpoch);
      if (claimed === null) return { kind: 'done', op: null };
      // Whether the server can do what it asks for is decided once, when a rotation begins.
      const isNew = claimed.record.rotation?.phase.name === 'requested';
      const current = isNew ? await tools.policyNow?.() : undefined;
      const copy = workingCopy(claimed, askedAt, current ?? policy, tools);
      return await work(copy, { outdated, signal }, tools);
    } catch (error) {
      if (isOutrun(error)) return { kind: 'outrun', why: messageOf(error) };
      if (!(error instanceof SinkOutdated)) throw error;
      // The folder holds the set of a later claim: the store was restored from a backup, its clock was set back, or another import of this client delivers
      // too. A claim with a higher epoch gets past that. Where it does not, another store delivers to the same folder, and the delivery fails.
      leastEpoch = error.epoch + 1;
      if (round >= MOST_OUTDATED) outdated = error.message;
      else await sleep(Math.random() * APART_MS * round, signal);
    }
  }
}

/**
 * Changes a record without claiming it. Two workers that claimed it to note something would take it from each other again and again, and no other worker
 * would get to it.
 */
export async function amend(
  ref: ClientRef,
  change: (record: ClientRecord) => ClientRecord,
  policy: ClientPolicy,
  store: RecordStore,
): Promise<void> {
  for (let held = await store.load(ref); held !== null; held = await store.load(ref)) {
    const amended = { record: change(held.record), entries: [] };
    try {
      await store.commit(commitOf(amended, policy, { from: held, durable: false }));
      return;
    } catch (error) {
      if (!isOutrun(error)) throw error;
    }
  }
}

/** What a run has beside the record and its tools. */
type Circumstances = Pick<Run, 'signal' | 'outdated'>;

/** Takes one step after the other, until none is left or the next one is not for now. */
async function work(copy: WorkingCopy, circumstances: Circumstances, tools: Tools): Promise<Rest> {
  const { signal } = circumstances;
  for (let steps = 0; ; steps += 1) {
    signal.throwIfAborted();
    const next = copy.decide();
    const { action } = next;
    if (action.do === 'done' || action.do === 'wait') {
      copy.dropNoNews();
      await copy.save('rest', false);
      const { op } = copy.committed;
      if (action.do === 'done') return { kind: 'done', op };
      return { kind: 'wait', op, ms: Math.max(1, action.until - copy.now()), why: action.why };
    }
    const postponed = await postponement(next, steps, tools, signal);
    if (postponed !== null) {
      await copy.save('rest', false);
      return { ...postponed, op: copy.committed.op };
    }
    await take(next, copy, circumstances, tools);
  }
}

type Postponement =
  | { readonly kind: 'done'; readonly spare: true }
  | { readonly kind: 'wait'; readonly ms: number; readonly why: string };

/** Why a step is left to a later run; null when it may be taken now. */
async function postponement(
  { action, record }: Next,
  steps: number,
  tools: Tools,
  signal: AbortSignal,
): Promise<Postponement | null> {
  // Making a key takes more processor time than all other steps, and another client may wait for its compromised key to be replaced.
  if (action.do === 'make_standby' && tools.hasTime === false && steps > 0) return { kind: 'done', spare: true };
  if (action.do !== 'look' && action.do !== 'patch') return null;
  const refusal = await admitted(tools, isPressing(record), signal);
  return refusal === null ? null : { kind: 'wait', ...refusal };
}

/** Clears what is no longer known when the commit after an effect is refused, so that the next worker repeats the step. */
const UNKNOWN: Partial<Record<Action['do'], (record: ClientRecord) => ClientRecord>> = {
  deliver: unknownDelivery,
  serve: (record) => ({ ...record, server: { ...record.server, served: null } }),
};

/**
 * Takes one step: commits what came before it, does its effect, commits the outcome. `patch` and `serve` announce their intent themselves, when they know it:
 * that commit has in it what came before.
 */
async function take(
  { action, record }: Next,
  copy: WorkingCopy,
  circumstances: Circumstances,
  tools: Tools,
): Promise<void> {
  const { ref, policy, now, latest, context } = copy;
  const isAnnounced = action.do === 'patch' || action.do === 'serve';
  if (!isAnnounced) await copy.save(action.do, false);
  tools.onStep?.(action, record);
  if (!isAnnounced) await copy.point(`${action.do}:before effect`);
  const outcome = await traced(action, record, tools, {
    ...circumstances,
    ...{ ref, policy, epoch: copy.committed.epoch, now, latest, context },
    async announce(change) {
      copy.add(change);
      await copy.save(`${action.do}:intent`, true);
      await copy.point(`${action.do}:before effect`);
      return copy.committed.record;
    },
  });
  await copy.point(`${action.do}:after effect`);
  copy.add(outcome);
  // A look is committed with the intent that is built on it, and what signers report with what comes of it.
  if (action.do === 'look' || action.do === 'hear') return;
  try {
    // What follows without another effect belongs to the same commit.
    copy.decide();
    await copy.save(action.do, false);
  } catch (error) {
    const unknown = UNKNOWN[action.do];
    // A worker that stood still for long may just have delivered older keys over newer ones.
    if (unknown !== undefined && isOutrun(error)) await amend(ref, unknown, policy, tools.store);
    throw error;
  }
}

/** A step is a span of its own, and the calls that it makes are within it. */
function traced(action: Action, record: ClientRecord, { trace = NO_TRACE, effects }: Tools, run: Run): Promise<Change> {
  const { ref, rotation } = record;
  const facts = {
    'rekeyd.client': ref,
    'rekeyd.rotation': 'old' in action ? action.old.rotation.id : (rotation?.id ?? null),
    'rekeyd.kid': 'kid' in action ? action.kid : incomingKid(rotation),
    'rekeyd.purpose': 'purpose' in action ? action.purpose : null,
  };
  return trace.span(`step ${action.do}`, 'internal', facts, () => perform(action, record, effects, run));
}

/** Null when the call may be made now, else for how long it may not. */
async function admitted(
  { turn }: Tools,
  urgent: boolean,
  signal: AbortSignal,
): Promise<{ readonly ms: number; readonly why: string } | null> {
  for (;;) {
    const answer = await turn(urgent);
    if (answer.go) return null;
    if (answer.forMs > SHORT_WAIT_MS) return { ms: answer.forMs, why: NO_TURN[answer.because] };
    await sleep(answer.forMs, signal);
    signal.throwIfAborted();
  }
}
