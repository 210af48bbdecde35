/**
 * The loop: load the record, let the pure core say one step, do it, commit what it came to, again. Everything that matters is in the record, so
 * this can be killed anywhere and run again anywhere; jobs only wake it.
 */

import type { Change } from '../core/change.ts';
import type { ClientRef } from '../core/client.ts';
import { destroyed, fail } from '../core/ending.ts';
import { plan, ripen, type Step } from '../core/plan.ts';
import type { ClientPolicy } from '../core/policy.ts';
import { settled } from '../core/progress.ts';
import { takenUnproven } from '../core/proving.ts';
import type { ClientRecord } from '../core/record.ts';
import { hasCode } from '../errors.ts';
import { monotonic } from '../time.ts';
import { type Commit, commitOf } from './commit.ts';
import {
  deliver,
  type Effects,
  generate,
  type Outcome,
  observe,
  patch,
  prove,
  type Rest,
  type Run,
  serve,
} from './steps.ts';

/** A record as this run holds it: until somebody else commits or claims. */
export interface Held {
  readonly record: ClientRecord;
  readonly version: number;
  readonly epoch: number;
  /** The store's clock, ms since the epoch, when this was read. */
  readonly now: number;
}

export interface RecordStore {
  /** Takes the record over: whoever claimed it before can no longer commit. With a hold, only when nobody else has one. */
  claim(ref: ClientRef, hold?: Hold): Promise<Held | null>;
  load(ref: ClientRef): Promise<Held | null>;
  release(ref: ClientRef, holder: string): Promise<void>;
  commit(change: Commit): Promise<{ readonly version: number; readonly now: number }>;
}

/** The same holder comes again after a crash; others wait until the hold is released or runs out. */
export interface Hold {
  readonly holder: string;
  readonly forMs: number;
}

export interface Tools {
  readonly store: RecordStore;
  readonly hold: Hold;
  readonly effects: Effects;
  readonly random: () => number;
  /** Told before and after every effect and commit, as `<step>:<before|after> <effect|commit>`; the run goes on when it returns. */
  readonly onPoint?: (point: string, ref: ClientRef) => void | Promise<void>;
  readonly onStep?: (step: Step, record: ClientRecord) => void;
  /** Told what was committed, and the record before it. */
  readonly onCommit?: (change: Change, before: ClientRecord) => void;
}

/**
 * Works on one client until it has to wait, is done, or has sent one PATCH too many for one turn.
 * @throws RekeydError as the store does; whatever happened, the next run goes on from the last commit
 */
export async function rotate(ref: ClientRef, policy: ClientPolicy, tools: Tools, signal: AbortSignal): Promise<Rest> {
  const { store, hold } = tools;
  try {
    const askedAt = monotonic();
    const claimed = await store.claim(ref, hold);
    if (claimed === null) return { kind: 'done' };
    try {
      return await loop(claimed, askedAt, policy, tools, signal);
    } finally {
      await store.release(ref, hold.holder);
    }
  } catch (error) {
    if (isOutrun(error)) return { kind: 'outrun' };
    throw error;
  }
}

function isOutrun(error: unknown): boolean {
  return hasCode(error, 'store_conflict') || hasCode(error, 'store_fenced') || hasCode(error, 'store_held');
}

/** What a step leaves where no epoch is known: what stands there now is not what the record says. */
const OUTSIDE: Partial<Record<Step['do'], Partial<ClientRecord>>> = {
  deliver: { delivered: null },
  serve: { served: null },
};

/**
 * Whoever works on this record next does the step again that `unknown` is about. Without a claim: two workers that both have something to forget
 * would take the record from each other for ever, and nobody else would get to it.
 */
export async function forget(
  ref: ClientRef,
  unknown: Partial<ClientRecord>,
  policy: ClientPolicy,
  store: RecordStore,
): Promise<void> {
  for (let held = await store.load(ref); held !== null; held = await store.load(ref)) {
    const change = { record: { ...held.record, ...unknown }, entries: [] };
    try {
      await store.commit(commitOf(change, policy, { expected: held, durable: false }));
      return;
    } catch (error) {
      if (!isOutrun(error)) throw error;
    }
  }
}

async function loop(
  claimed: Held,
  claimedAt: number,
  policy: ClientPolicy,
  tools: Tools,
  signal: AbortSignal,
): Promise<Rest> {
  const { ref } = claimed.record;
  let held = claimed;
  // The store read its clock somewhere between these two, and an answer can be long on its way.
  let askedAt = claimedAt;
  let readAt = monotonic();
  let patched = false;
  const now = () => Math.round(held.now + (monotonic() - readAt));
  const latest = () => Math.round(held.now + (monotonic() - askedAt));
  const point = async (name: string) => tools.onPoint?.(name, ref);

  async function save(name: string, change: Outcome, durable: boolean): Promise<void> {
    await point(`${name}:before commit`);
    const commit = commitOf(change, policy, { expected: { version: held.version, epoch: held.epoch }, durable });
    const sentAt = monotonic();
    const { version, now: committedAt } = await tools.store.commit(commit);
    const before = held.record;
    held = { record: change.record, version, epoch: held.epoch, now: committedAt };
    askedAt = sentAt;
    readAt = monotonic();
    tools.onCommit?.(change, before);
    await point(`${name}:after commit`);
  }

  for (;;) {
    signal.throwIfAborted();
    const record = ripen(held.record, now());
    const step = plan(record, policy, now());
    if (step.do === 'done') return { kind: 'done' };
    if (step.do === 'wait') return { kind: 'wait', ms: Math.max(1, step.until - now()), why: step.why };
    if (step.do === 'patch' && patched) return { kind: 'again' };
    patched ||= step.do === 'patch';
    tools.onStep?.(step, record);
    const run: Run = {
      ref,
      policy,
      signal,
      epoch: held.epoch,
      now,
      latest,
      context: () => ({ policy, now: now(), random: tools.random() }),
      async announce(change) {
        await save(`${step.do}:intent`, change, true);
        await point(`${step.do}:before effect`);
        return held.record;
      },
    };
    if (step.do !== 'patch' && step.do !== 'serve') await point(`${step.do}:before effect`);
    const outcome = await perform(step, record, tools.effects, run);
    await point(`${step.do}:after effect`);
    try {
      await save(step.do, outcome, false);
    } catch (error) {
      const unknown = OUTSIDE[step.do];
      // A worker that stood still for long may just have put older keys over newer ones.
      if (unknown !== undefined && isOutrun(error)) await forget(ref, unknown, policy, tools.store);
      throw error;
    }
    if (outcome.rest !== undefined) return outcome.rest;
  }
}

function perform(
  step: Exclude<Step, { do: 'done' | 'wait' }>,
  record: ClientRecord,
  effects: Effects,
  run: Run,
): Outcome | Promise<Outcome> {
  const context = run.context();
  switch (step.do) {
    case 'fail':
      return record.rotation === null ? { record, entries: [] } : fail(record, record.rotation, step.why, context);
    case 'generate':
      return generate(record, step.rotation, effects, run);
    case 'deliver':
      return deliver(record, step.delivery, effects, run);
    case 'observe':
      return observe(record, effects, run);
    case 'serve':
      return serve(record, step, effects, run);
    case 'patch':
      return patch(record, step, effects, run);
    case 'settle':
      return settled(record, context);
    case 'prove':
      return prove(record, step, effects, run);
    case 'take_unproven':
      return takenUnproven(record, step.kid, step.expect);
    case 'destroy':
      return { ...destroyed(record, step.retirement, context), erase: erasedBy(step, record) };
    default:
      return step satisfies never;
  }
}

/** Sealed private halves are named by thumbprint. */
function erasedBy({ retirement: { kid } }: Extract<Step, { do: 'destroy' }>, record: ClientRecord): readonly string[] {
  return record.keys.flatMap((key) => (key.kid === kid && key.state !== 'destroyed' ? [key.thumbprint] : []));
}
