/**
 * The loop: load the record, let the pure core say one step, do it, commit what it came to, again. Everything that matters is in the record, so this can be
 * killed anywhere and run again anywhere; jobs only wake it.
 */
import type { Action } from '../core/action.ts';
import type { ClientRef } from '../core/client.ts';
import { unknownDelivery } from '../core/delivering.ts';
import { isNoNews } from '../core/heard.ts';
import type { ClientPolicy } from '../core/policy.ts';
import { isPressing } from '../core/pressing.ts';
import type { ClientRecord } from '../core/record.ts';
import { incomingKid } from '../core/rotation.ts';
import { NO_TRACE, type Trace } from '../core/trace.ts';
import { SinkOutdated } from '../deliver/sink.ts';
import { messageOf } from '../errors.ts';
import type { Turn } from '../store/deployments.ts';
import type { Loaded, Records } from '../store/records.ts';
import { monotonic, sleep } from '../time.ts';
import { type Change, commitOf, isOutrun, merged } from './commit.ts';
import { decide } from './decide.ts';
import { NO_TURN } from './deployment.ts';
import type { Effects, Run } from './run.ts';
import { perform } from './steps.ts';

export type RecordStore = Pick<Records, 'claim' | 'load' | 'commit'>;

export interface Tools {
  readonly store: RecordStore;
  readonly effects: Effects;
  /** Asks the deployment's budget for one API call. */
  readonly turn: (urgent: boolean) => Promise<Turn>;
  readonly random: () => number;
  /** Absent: nothing is traced. */
  readonly trace?: Trace;
  /** False: other jobs may wait, so a run that has done something leaves the standby key to a job for idle time. */
  readonly hasTime?: boolean;
  /** The policy by what is known of the server now. Absent: the run goes by the policy that it was given. */
  readonly policyNow?: () => Promise<ClientPolicy>;
  /** Told before and after every effect and commit, as `<step>:<before|after> <effect|commit>`; the run goes on when it returns. */
  readonly onPoint?: (point: string, ref: ClientRef) => void | Promise<void>;
  readonly onStep?: (action: Action, record: ClientRecord) => void;
  /** Told what was committed, and the record before it. */
  readonly onCommit?: (change: Change, before: ClientRecord) => void;
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
      return await work(claimed, askedAt, outdated, current ?? policy, tools, signal);
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

/** Clears what is no longer known when the commit after an effect is refused, so that the next worker repeats the step. */
const UNKNOWN: Partial<Record<Action['do'], (record: ClientRecord) => ClientRecord>> = {
  deliver: unknownDelivery,
  serve: (record) => ({ ...record, server: { ...record.server, served: null } }),
};

async function work(
  claimed: Loaded,
  claimedAt: number,
  outdated: string | null,
  policy: ClientPolicy,
  tools: Tools,
  signal: AbortSignal,
): Promise<Rest> {
  const { ref } = claimed.record;
  let held = claimed;
  /** What is not committed yet. */
  let draft: Change | null = null;
  // The store read its clock somewhere between these two, and an answer can be long on its way.
  let askedAt = claimedAt;
  let readAt = monotonic();
  const now = () => Math.round(held.now + (monotonic() - readAt));
  const latest = () => Math.round(held.now + (monotonic() - askedAt));
  const point = async (name: string) => tools.onPoint?.(name, ref);
  const context = () => ({ policy, now: now(), random: tools.random() });

  async function save(name: string, durable: boolean): Promise<void> {
    if (draft === null) return;
    const change = draft;
    await point(`${name}:before commit`);
    const sentAt = monotonic();
    const { op, now: committedAt } = await tools.store.commit(commitOf(change, policy, { from: held, durable }));
    const before = held.record;
    held = { ...held, record: change.record, op, now: committedAt, carried: [] };
    draft = null;
    askedAt = sentAt;
    readAt = monotonic();
    tools.onCommit?.(change, before);
    await point(`${name}:after commit`);
  }

  for (let steps = 0; ; steps += 1) {
    signal.throwIfAborted();
    const next = decide(draft ?? { record: held.record, entries: [] }, now(), context);
    const { action } = next;
    if (next.change.record !== held.record) draft = next.change;
    const { record } = next.change;
    if (action.do === 'done' || action.do === 'wait') {
      // Reports that say the same as before are no reason for a commit.
      if (draft !== null && draft.entries.length === 0 && isNoNews(held.record, draft.record)) draft = null;
      await save('rest', false);
      if (action.do === 'done') return { kind: 'done', op: held.op };
      return { kind: 'wait', op: held.op, ms: Math.max(1, action.until - now()), why: action.why };
    }
    // Making a key takes more processor time than all other steps, and another client may wait for its compromised key to be replaced.
    if (action.do === 'make_standby' && tools.hasTime === false && steps > 0) {
      await save('rest', false);
      return { kind: 'done', op: held.op, spare: true };
    }
    if (action.do === 'look' || action.do === 'patch') {
      const refusal = await admitted(tools, isPressing(record), signal);
      if (refusal !== null) {
        await save('rest', false);
        return { kind: 'wait', op: held.op, ...refusal };
      }
    }
    const isAnnounced = action.do === 'patch' || action.do === 'serve';
    if (!isAnnounced) await save(action.do, false);
    tools.onStep?.(action, record);
    const run: Run = {
      ref,
      policy,
      signal,
      epoch: held.epoch,
      outdated,
      now,
      latest,
      context,
      async announce(change) {
        draft = merged(draft, change);
        await save(`${action.do}:intent`, true);
        await point(`${action.do}:before effect`);
        return held.record;
      },
    };
    if (!isAnnounced) await point(`${action.do}:before effect`);
    const outcome = await traced(action, record, tools, run);
    await point(`${action.do}:after effect`);
    draft = merged(draft, outcome);
    // A look is committed with the intent that is built on it, and what signers report with what comes of it.
    if (action.do === 'look' || action.do === 'hear') continue;
    try {
      draft = decide(draft, now(), context).change;
      await save(action.do, false);
    } catch (error) {
      const unknown = UNKNOWN[action.do];
      // A worker that stood still for long may just have delivered older keys over newer ones.
      if (unknown !== undefined && isOutrun(error)) await amend(ref, unknown, policy, tools.store);
      throw error;
    }
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
